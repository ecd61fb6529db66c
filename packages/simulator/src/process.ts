import type { EventLoop, Owner, Scheduled } from './event-loop.js';

/**
 * One life of a node, from its start until it is killed. Its memory is gone after that, because nothing runs in its
 * name any more: its timers and its answers from disks and peers never come.
 */
export class SimulatedProcess implements Owner {
  #isAlive = true;
  #isPaused = false;
  #held: Scheduled[] = [];
  readonly #deathListeners: Array<() => void> = [];

  readonly #loop: EventLoop;

  constructor(
    loop: EventLoop,
    /** The process id, unique among all lives of all nodes of a run. */
    readonly id: number,
  ) {
    this.#loop = loop;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  hold(event: Scheduled): void {
    this.#held.push(event);
  }

  /** Stops the process, as SIGSTOP does: clocks run on, and everything addressed to the process waits. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Continues the process, as SIGCONT does: the waiting events run first, in the order in which they came. */
  resume(): void {
    this.#isPaused = false;
    const held = this.#held;
    this.#held = [];
    for (const event of held) this.#loop.release(event);
  }

  kill(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#held = [];
    for (const listener of this.#deathListeners) listener();
  }

  /** Runs `listener` when the process dies, before anything else. */
  onDeath(listener: () => void): void {
    this.#deathListeners.push(listener);
  }
}
