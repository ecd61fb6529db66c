import type { EventLoop, Owner, Scheduled } from './event-loop.js';

/**
 * One life of a node: from its start until it is killed. What it had in memory is gone with it, because
 * nothing runs in its name any more: its timers, its answers from disks and peers never come.
 */
export class SimulatedProcess implements Owner {
  #isAlive = true;
  #isPaused = false;
  #held: Scheduled[] = [];
  readonly #deathListeners: Array<() => void> = [];

  readonly #loop: EventLoop;

  constructor(
    loop: EventLoop,
    /** Unique among all lives of all nodes of a run. */
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

  /** SIGSTOP: clocks go on, and everything that is addressed to the process waits. */
  pause(): void {
    this.#isPaused = true;
  }

  /** SIGCONT: what has waited runs first, in the order in which it came. */
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

  /** Runs when the process dies, before anything else does. */
  onDeath(listener: () => void): void {
    this.#deathListeners.push(listener);
  }
}
