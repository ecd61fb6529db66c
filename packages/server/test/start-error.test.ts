import { describe, expect, test } from '@jest/globals';
import { StartError, toStartError } from '../src/process/start-error.js';

/** An error as the system gives it. */
function systemError(code: string, more: object = {}): Error {
  return Object.assign(new Error(`${code}: words, syscall`), { code, ...more });
}

describe('whatever stops a start is one line that says what to do', () => {
  test.each([
    [
      systemError('ENOSPC', { path: '/data/wal/1' }),
      'cannot open the data: the disk is full: /data/wal/1: make room and start again',
    ],
    [systemError('EROFS', { path: '/data' }), 'cannot open the data: /data is on a read-only file system'],
    [
      systemError('EACCES', { path: '/data' }),
      'cannot open the data: no permission for /data: check its owner and mode',
    ],
    [
      systemError('EADDRINUSE', { address: '127.0.0.1', port: 8443 }),
      'cannot open the data: 127.0.0.1:8443 is in use: stop the process that listens there or choose another address',
    ],
    [
      new Error('No address added errors: [listen EADDRINUSE: address already in use 127.0.0.1:5012]'),
      'cannot open the data: 127.0.0.1:5012 is in use: stop the process that listens there or choose another address',
    ],
    [new Error('two\n  lines'), 'cannot open the data: two lines'],
  ])('%s', (cause, message) => {
    expect(toStartError('open the data', cause).message).toBe(message);
  });

  test('what is said already is not said again', () => {
    const error = new StartError('said');
    expect(toStartError('open the data', error)).toBe(error);
  });
});
