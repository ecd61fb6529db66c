import { once } from 'node:events';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { turns } from '@coxswain/testing';
import { expect, test } from '@jest/globals';
import { FrameGatherer } from '../src/adapters/frame-gatherer.js';
import { MessageCutter } from '../src/adapters/message-cutter.js';

/** Takes down each call of the system that a socket would make, and the memory that it is given. */
class CallCounter extends Duplex {
  readonly calls: Buffer[][] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.calls.push([chunk]);
    setImmediate(done);
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.calls.push(chunks.map(({ chunk }) => chunk));
    setImmediate(done);
  }
  override _read(): void {
    // Nothing comes back.
  }
}

const framesIn = (calls: readonly Buffer[][]): Buffer[] => {
  const frames: Buffer[] = [];
  const cutter = new MessageCutter((frame) => frames.push(frame));
  expect(cutter.push(Buffer.concat(calls.flat()))).toBe(true);
  return frames;
};

test('frames of one turn leave in one call, small ones in one piece, and large ones uncopied', async () => {
  const socket = new CallCounter();
  const gatherer = new FrameGatherer(socket as unknown as Socket);
  const large = Buffer.alloc(4096, 1);
  const frames = [Buffer.from('a'), Buffer.from('b'), large, Buffer.alloc(4095, 2), Buffer.from('c'), large];
  for (const frame of frames) gatherer.add(frame);
  const bytes = frames.reduce((sum, { length }) => sum + length, 0);
  expect(gatherer.backlogBytes).toBe(bytes);
  expect(socket.calls).toEqual([]);
  await turns(1);
  expect(socket.calls.map((call) => call.length)).toEqual([4]);
  expect(socket.calls[0]![1]).toBe(large);
  expect(framesIn(socket.calls)).toEqual(frames);
  await turns(1);
  expect(gatherer.backlogBytes).toBe(0);

  gatherer.add(Buffer.from('next'));
  gatherer.add(Buffer.alloc(0));
  await turns(1);
  expect(socket.calls[1]).toHaveLength(1);
  expect(framesIn(socket.calls).at(-1)).toEqual(Buffer.from('next'));
});

test('a socket that was destroyed meanwhile is written to without a fault', async () => {
  const socket = new Socket();
  const gatherer = new FrameGatherer(socket);
  gatherer.add(Buffer.from('lost'));
  socket.destroy();
  await once(socket, 'close');
  gatherer.add(Buffer.from('lost too'));
  await turns(1);
  expect(gatherer.backlogBytes).toBe(0);
});
