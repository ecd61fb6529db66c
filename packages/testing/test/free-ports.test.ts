import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { findFreePort, findFreePorts, isPortFree } from '../src/index.js';

const index = new URL('../src/index.js', import.meta.url).href;

test('free ports are not those that the system gives to whoever asks for any', async () => {
  let systems = 32_768;
  try {
    systems = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split('\t')[0]);
  } catch {
    // Not on Linux.
  }
  const ports = await findFreePorts(12);
  expect(Math.max(...ports)).toBeLessThan(systems);
  expect(Math.min(...ports)).toBeGreaterThan(1_024);
});

test('free ports are given to one process alone, once, until it ends', async () => {
  const mine = await findFreePorts(5);
  const [first] = mine;
  expect(await findFreePorts(5, first)).not.toContain(first);
  const asked = `import(${JSON.stringify(index)}).then(async ({ findFreePorts }) => console.log((await findFreePorts(20, ${first})).join()))`;
  const found = () =>
    spawnSync(process.execPath, ['-e', asked], { encoding: 'utf8' }).stdout.trim().split(',').map(Number);
  const others = found();
  expect(others.filter((port) => mine.includes(port))).toEqual([]);
  // It has ended, and what it had is free again.
  expect(found()).toEqual(others);
});

test('a free port is free for UDP as well, on which peers gossip', async () => {
  const port = await findFreePort();
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, resolve);
  });
  await new Promise<void>((resolve) => socket.close(resolve));
});

test('a port that is listened on is not free', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  expect(await isPortFree(port)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await isPortFree(port)).toBe(true);
});
