import { ApiError, Status } from '@coxswain/node';
import { EventKind, type EventLoop, type Scheduled } from './event-loop.js';
import type { History, Invocation, KeyEffect } from './history.js';
import type { SimulatedProcess } from './process.js';

/** An operation that was sent, and the record to make when its answer comes or does not come. */
interface Pending {
  readonly process: SimulatedProcess;
  readonly timeout: Scheduled;
  isOver: boolean;
  /** Ends the operation without an answer. */
  giveUp(): void;
}

export interface CallsOptions {
  readonly loop: EventLoop;
  readonly history: History;
  readonly deadlineMs: number;
  /** The history whose changes take several steps, so that UNAVAILABLE does not mean that nothing was done. */
  readonly namesHistory: string;
}

/** Tracks requests under way, and records in the history how each ended. */
export class Calls {
  readonly #pending = new Set<Pending>();
  readonly #loop: EventLoop;
  readonly #history: History;
  readonly #deadlineMs: number;
  readonly #namesHistory: string;
  /** The number of requests that were sent. */
  sent = 0;

  constructor({ loop, history, deadlineMs, namesHistory }: CallsOptions) {
    this.#loop = loop;
    this.#history = history;
    this.#deadlineMs = deadlineMs;
    this.#namesHistory = namesHistory;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Ends the requests to a process that was killed, since its clients' connections break. */
  processDied(process: SimulatedProcess): void {
    for (const pending of [...this.#pending]) if (pending.process === process) pending.giveUp();
  }

  /**
   * Sends a request and records how it ended; resolves to true when it was answered. UNAVAILABLE means that nothing was
   * done (P1), except for changes of the list of tables, which take several steps.
   */
  send<T>(
    process: SimulatedProcess,
    table: string,
    effects: readonly KeyEffect[],
    request: () => Promise<T>,
    answered: (invocation: Invocation, answer: T) => void,
    refused: (invocation: Invocation, error: ApiError) => boolean = () => false,
  ): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.sent += 1;
      const invocation = this.#history.begin(process.id);
      const end = (record: () => boolean) => {
        if (pending.isOver) return;
        pending.isOver = true;
        pending.timeout.cancel();
        this.#pending.delete(pending);
        try {
          resolve(record());
        } catch (error) {
          reject(error);
        }
      };
      const unknown = () => {
        this.#history.unknown(invocation, table, effects);
        return false;
      };
      const giveUp = () => end(unknown);
      // A paused process does not answer before its clients lose patience.
      const patienceUs = (this.#deadlineMs + 1000) * 1000;
      const timeout = this.#loop.schedule(patienceUs, EventKind.Client, undefined, giveUp);
      const pending: Pending = { process, timeout, isOver: false, giveUp };
      this.#pending.add(pending);
      request().then(
        (answer) =>
          end(() => {
            answered(invocation, answer);
            return true;
          }),
        (error: unknown) =>
          end(() => {
            if (!(error instanceof ApiError)) throw error;
            if (refused(invocation, error)) return true;
            const mayBeDone = error.status === Status.Unknown || table === this.#namesHistory;
            if (mayBeDone) return unknown();
            if (error.status !== Status.Unavailable && error.status !== Status.NotFound) throw error;
            return false;
          }),
      );
    });
  }
}
