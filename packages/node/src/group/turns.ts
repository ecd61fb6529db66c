import type { Raft } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { type GroupWrite, type Wal, WalFullError } from '@coxswain/wal';
import type { Peers } from '../cluster/peers.js';
import type { Replica, Turn } from './replica.js';

/**
 * Runs the node's loop (ARCHITECTURE.md, "Turns"). One turn steps every group that has input, sends to the peers before
 * the own disk write (thesis 10.2.1), writes the appends of all groups with one sync, and hands back what became
 * durable. A turn may begin while the last one's sync is under way: the log gathers what arrives meanwhile.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #wal: Wal;
  readonly #peers: Peers;
  readonly #onDiskFull: () => void;
  readonly #onFatal: (error: unknown) => void;
  #waiting = new Set<Replica>();
  #isScheduled = false;
  readonly #refusedCores = new WeakSet<Raft>();
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(options: {
    clock: Clock;
    wal: Wal;
    peers: Peers;
    onDiskFull: () => void;
    onFatal: (error: unknown) => void;
  }) {
    this.#clock = options.clock;
    this.#wal = options.wal;
    this.#peers = options.peers;
    this.#onDiskFull = options.onDiskFull;
    this.#onFatal = options.onFatal;
  }

  /**
   * Schedules a turn in which the replica takes part: soon, but after all input that already waits, so that it shares
   * the turn.
   */
  schedule(replica: Replica): void {
    this.#waiting.add(replica);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.defer(this.#runScheduled);
  }

  readonly #runScheduled = (): void => {
    this.#isScheduled = false;
    this.run();
  };

  /** Runs a turn now, for all replicas that were scheduled. */
  run(): void {
    const turn: Turn = { writes: [], appends: [] };
    try {
      if (this.#waiting.size > 0) {
        const replicas = this.#waiting;
        this.#waiting = new Set();
        for (const replica of replicas) replica.collect(turn);
      }
      this.#peers.flush();
      for (const { replica, append } of turn.appends) replica.progress.handed(append);
    } catch (error) {
      this.#onFatal(error);
      return;
    }
    if (turn.writes.length === 0) return;
    this.write(turn.writes).then(
      () => this.#durable(turn),
      (error: unknown) => this.#refused(turn, error instanceof WalFullError),
    );
  }

  /**
   * Writes to the log. Resolves when the write is durable. When it failed, the node is informed first, and then this
   * rejects: a full disk is survived, anything else is fatal (D6).
   */
  write(writes: readonly GroupWrite[]): Promise<void> {
    const written = this.#wal.append(writes);
    const earlier = this.#lastWrite;
    this.#lastWrite = written.then(
      () => earlier,
      (error: unknown) => {
        if (error instanceof WalFullError) this.#onDiskFull();
        else this.#onFatal(error);
        // A refused write ends at once; writes that the log had taken before may still wait for room.
        return earlier;
      },
    );
    return written;
  }

  /** Resolves when every write so far has ended, whether it succeeded or not. */
  settled(): Promise<void> {
    return this.#lastWrite;
  }

  /**
   * Whether an append of this core was refused. Then nothing of the core is acknowledged any more, and it is to be
   * started anew.
   */
  isRefused(raft: Raft): boolean {
    return this.#refusedCores.has(raft);
  }

  /**
   * Handles a refused turn, of which `write` has informed the node. Everything that these cores hand out from now on
   * builds on entries that were not written, so none of it may be acknowledged (D1), even if the log takes it; they are
   * started anew when there is room. A group that was made after the disk was found full is suspended only here (D6).
   */
  #refused(turn: Turn, isDiskFull: boolean): void {
    for (const { raft } of turn.appends) this.#refusedCores.add(raft);
    if (!isDiskFull) return;
    for (const { replica, raft } of turn.appends) if (replica.raft === raft) replica.giveUp();
    this.#peers.flush();
  }

  #durable(turn: Turn): void {
    try {
      for (const { replica, raft, append } of turn.appends) {
        // If the core was started anew meanwhile, it has read this from the log.
        if (replica.raft !== raft || replica.isClosed || this.isRefused(raft)) continue;
        replica.appended(append);
      }
    } catch (error) {
      this.#onFatal(error);
      return;
    }
    // At once, not on the next round of the event loop, because acknowledgements wait.
    this.run();
  }
}
