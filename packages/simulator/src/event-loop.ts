import { setImmediate } from 'node:timers';
import type { Trace } from './trace.js';

// Jest looks a global up in its own context each time, at fifty times the price of a constant.
const { max, round } = Math;

/**
 * The owner of events: a process that can be paused and killed. Its events wait while it is paused and vanish when it
 * is dead, as those of an operating system's process do.
 */
export interface Owner {
  readonly id: number;
  readonly isAlive: boolean;
  readonly isPaused: boolean;
  /** Called with the event in place of running it, while the owner is paused. */
  hold(event: Scheduled): void;
}

/** An event that has not run yet. */
export interface Scheduled {
  readonly atUs: number;
  cancel(): void;
}

class Event implements Scheduled {
  isCancelled = false;
  constructor(
    public atUs: number,
    public sequence: number,
    readonly owner: Owner | undefined,
    readonly kind: number,
    readonly run: () => void,
  ) {}
  cancel(): void {
    this.isCancelled = true;
  }
}

/** The kinds of events, for the trace. */
export enum EventKind {
  Timer = 1,
  Defer = 2,
  Network = 3,
  Disk = 4,
  Store = 5,
  File = 6,
  Client = 7,
  Fault = 8,
}

/**
 * Virtual time. Events run one at a time in the order of their times, ties in the order in which they were scheduled;
 * before the next event begins, every promise that an event settled has run its continuations. Nothing else may make
 * progress, so a run depends only on the events that were scheduled.
 */
export class EventLoop {
  #nowUs = 0;
  #sequence = 0;
  #steps = 0;
  #lastOwner: Owner | undefined;
  readonly #heap: Event[] = [];

  constructor(readonly trace: Trace) {}

  /** Microseconds since the run began. */
  get nowUs(): number {
    return this.#nowUs;
  }

  /** The number of events that have run. */
  get steps(): number {
    return this.#steps;
  }

  /** The owner of the last event; only its memory can have changed. */
  get lastOwner(): Owner | undefined {
    return this.#lastOwner;
  }

  /** Calls `run` after `delayUs` microseconds, as part of `owner`'s life; without an owner nothing can stop it. */
  schedule(delayUs: number, kind: EventKind, owner: Owner | undefined, run: () => void): Scheduled {
    const event = new Event(this.#nowUs + max(0, round(delayUs)), this.#sequence++, owner, kind, run);
    this.#push(event);
    return event;
  }

  /** Lets a held event run now, after those that are due already, since its owner continues after a pause. */
  release(held: Scheduled): void {
    const event = held as Event;
    event.atUs = this.#nowUs;
    event.sequence = this.#sequence++;
    this.#push(event);
  }

  /**
   * Runs events until `isDone`, which is called after each. Resolves with false when no event is left. An error that an
   * event or `isDone` throws ends the run.
   *
   * Node empties the queues of microtasks and of process.nextTick between two immediates, so one immediate per event is
   * a complete drain; scheduling them by the dozen saves the trips through libuv's loop between them.
   */
  run(isDone: () => boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let hasEnded = false;
      let immediatesLeft = 0;
      let mustCheck = false;
      const end = (settle: () => void) => {
        hasEnded = true;
        process.off('unhandledRejection', onUnhandled);
        settle();
      };
      // An unhandled rejection would end a real process; here it ends the run with its cause.
      const onUnhandled = (reason: unknown) => {
        if (!hasEnded) end(() => reject(reason));
      };
      const step = () => {
        immediatesLeft -= 1;
        if (!hasEnded) {
          try {
            // The checks see the state after the last event's continuations, so they are here and not after the event.
            if (mustCheck && isDone()) return end(() => resolve(true));
            mustCheck = true;
            if (!this.#runNext()) return end(() => resolve(false));
          } catch (error) {
            return end(() => reject(error));
          }
        }
        if (immediatesLeft === 0 && !hasEnded) refill();
      };
      const refill = () => {
        immediatesLeft = 64;
        for (let i = 0; i < 64; i++) setImmediate(step);
      };
      process.on('unhandledRejection', onUnhandled);
      refill();
    });
  }

  /** Runs one event; returns false when none is left. */
  #runNext(): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return false;
      if (event.isCancelled) continue;
      const owner = event.owner;
      if (owner !== undefined) {
        if (!owner.isAlive) continue;
        if (owner.isPaused) {
          owner.hold(event);
          continue;
        }
      }
      this.#nowUs = event.atUs;
      this.#steps += 1;
      this.#lastOwner = owner;
      this.trace.number(event.atUs);
      this.trace.number(event.kind * 65536 + (owner?.id ?? 0));
      event.run();
      return true;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: Event, b: Event): boolean =>
  a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence);
