import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from '@jest/globals';
import { LiveStream } from '../src/rest/console/live-stream.js';

/** A response whose reader takes what there is when the test says so. */
class SlowResponse extends EventEmitter {
  readonly taken: string[] = [];
  #waiting: string[] = [];

  get writableLength(): number {
    return this.#waiting.reduce((sum, text) => sum + text.length, 0);
  }

  write(bytes: Buffer): boolean {
    this.#waiting.push(bytes.toString());
    return true;
  }

  read(): void {
    this.taken.push(...this.#waiting);
    this.#waiting = [];
  }
}

test('a page that reads too slowly misses changes, and gets everything anew once it has read', () => {
  const response = new SlowResponse();
  const stream = new LiveStream(response as unknown as ServerResponse);
  const large = 'x'.repeat(1024 * 1024 + 1);
  stream.sendAll(Buffer.from('all'));
  stream.send(Buffer.from(large));
  stream.send(Buffer.from('missed'));
  stream.send(Buffer.from('missed too'));
  // It has not read: to send it everything now would only add to what waits.
  expect(stream.wantsAll).toBe(false);
  response.read();
  expect(response.taken).toEqual(['all', large]);
  stream.send(Buffer.from('still missed'));
  expect(stream.wantsAll).toBe(true);
  stream.sendAll(Buffer.from('all anew'));
  expect(stream.wantsAll).toBe(false);
  stream.send(Buffer.from('a change'));
  response.read();
  expect(response.taken).toEqual(['all', large, 'all anew', 'a change']);
});
