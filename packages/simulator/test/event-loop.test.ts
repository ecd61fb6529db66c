import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { EventKind, EventLoop, SeededRandom, SimulatedClock, SimulatedProcess, Trace } from '../src/index.js';

const makeLoop = () => new EventLoop(new Trace());

describe('virtual time', () => {
  test('events run in the order of their times, ties in the order of scheduling', async () => {
    const loop = makeLoop();
    const random = new SeededRandom(1);
    const delays = Array.from({ length: 500 }, () => random.integer(0, 100));
    const ran: [number, number][] = [];
    delays.forEach((delay, i) => {
      loop.schedule(delay, EventKind.Timer, undefined, () => ran.push([loop.nowUs, i]));
    });
    expect(await loop.run(() => false)).toBe(false);
    const expected = delays.map((delay, i): [number, number] => [delay, i]);
    expect(ran).toEqual(expected.sort((a, b) => a[0] - b[0] || a[1] - b[1]));
  });

  test('promises settled by an event run their continuations before the next event', async () => {
    const loop = makeLoop();
    const order: string[] = [];
    loop.schedule(1, EventKind.Timer, undefined, () => {
      void (async () => {
        for (let i = 0; i < 50; i++) await null;
        await new Promise<void>((resolve) => process.nextTick(resolve));
        order.push('continuation');
      })();
    });
    loop.schedule(1, EventKind.Timer, undefined, () => order.push('next event'));
    await loop.run(() => false);
    expect(order).toEqual(['continuation', 'next event']);
  });

  test('what an event throws ends the run', async () => {
    const loop = makeLoop();
    loop.schedule(1, EventKind.Timer, undefined, () => {
      throw new Error('thrown');
    });
    await expect(loop.run(() => false)).rejects.toThrow('thrown');
  });

  test('a rejection that nobody handles ends the run', async () => {
    // In a process of its own, because Jest takes such rejections for itself.
    const script = `
      import { EventKind, EventLoop, Trace } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
      const loop = new EventLoop(new Trace());
      loop.schedule(1, EventKind.Timer, undefined, () => void Promise.reject(new Error('rejected')));
      loop.schedule(2, EventKind.Timer, undefined, () => console.log('went on'));
      await loop.run(() => false).catch((error) => console.log(error.message));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout).toBe('rejected\n');
  });
});

describe('processes', () => {
  test('events of a paused process wait, in order; those of a dead one vanish', async () => {
    const loop = makeLoop();
    const process = new SimulatedProcess(loop, 1);
    const ran: string[] = [];
    process.pause();
    loop.schedule(1, EventKind.Timer, process, () => ran.push('first'));
    loop.schedule(2, EventKind.Timer, process, () => ran.push('second'));
    const cancelled = loop.schedule(3, EventKind.Timer, process, () => ran.push('cancelled'));
    loop.schedule(5, EventKind.Timer, undefined, () => {
      ran.push('resume');
      process.resume();
      cancelled.cancel();
    });
    loop.schedule(6, EventKind.Timer, undefined, () => process.kill());
    loop.schedule(7, EventKind.Timer, process, () => ran.push('dead'));
    await loop.run(() => false);
    expect(ran).toEqual(['resume', 'first', 'second']);
  });

  test('a clock that runs fast fires its timers early, and only its wall time jumps', async () => {
    const loop = makeLoop();
    const clock = new SimulatedClock(loop, 2, 0);
    const attached = clock.attach(new SimulatedProcess(loop, 1));
    const begin = attached.nowMs();
    let firedAtUs = 0;
    attached.startTimer(100, () => {
      firedAtUs = loop.nowUs;
    });
    await loop.run(() => false);
    expect(firedAtUs).toBe(50_000);
    expect(attached.monotonicMs()).toBe(100);
    clock.jump(-1000);
    expect(attached.monotonicMs()).toBe(100);
    expect(attached.nowMs() - begin).toBe(-900);
  });
});

describe('chance', () => {
  test('equal seeds give equal numbers, and forks do not disturb each other', () => {
    const first = new SeededRandom(7).fork('network');
    const second = new SeededRandom(7).fork('network');
    const numbers = Array.from({ length: 100 }, () => first.next());
    expect(Array.from({ length: 100 }, () => second.next())).toEqual(numbers);
    expect(new SeededRandom(8).fork('network').next()).not.toBe(numbers[0]);
    expect(new SeededRandom(7).fork('disk').next()).not.toBe(numbers[0]);
  });

  test('numbers are spread evenly', () => {
    const random = new SeededRandom(3);
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) buckets[random.integer(0, 9)]! += 1;
    for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
