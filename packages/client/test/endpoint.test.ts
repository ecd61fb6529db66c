import { expect, test } from '@jest/globals';
import { Endpoint } from '../src/endpoint.js';

test.each([
  '127.0.0.1:8443',
  '[::1]:8443',
  'localhost',
  'http://node-1.example:8443/',
  'https://10.0.0.1:1',
  'unix:///run/coxswain.sock',
  'unixs:///run/coxswain.sock',
])('%s is an endpoint', (address) => {
  expect(new Endpoint(address, undefined).address).toBe(address);
});

test.each([
  '',
  'http://',
  '127.0.0.1:',
  '127.0.0.1:port',
  '127.0.0.1:0',
  '127.0.0.1:65536',
  '127.0.0.1:80.5',
  'ftp://host:21',
  'http://host:1/path',
  'unix:',
  'unix://run/coxswain.sock',
])('%j is refused with what an endpoint looks like', (address) => {
  expect(() => new Endpoint(address, undefined)).toThrow(
    new TypeError(`not an endpoint: "${address}": give host:port, or a URL with http, https, unix or unixs`),
  );
});
