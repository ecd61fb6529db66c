import { systemClock } from '@coxswain/node';
import { type Clock, type EventFields, type EventKind, type Log, Waiters } from '@coxswain/runtime';

/** The number of events that are kept for those who ask what has happened. */
const EVENTS_KEPT = 1_000;
/** A watcher looks again after this time, though nothing has happened. */
const LOOK_INTERVAL_MS = 60_000;

/** Something that happened to this node. */
export interface Event {
  /**
   * Counts the events of `info` and above from 1 on, since the process started. A debug event is not kept: it has the
   * number of the last one before it that is.
   */
  readonly sequence: number;
  /** Wall time, in milliseconds since 1970. */
  readonly atMs: number;
  readonly kind: EventKind;
  readonly fields: EventFields;
}

/** An event as a watcher gets it. */
export interface WatchedEvent extends Event {
  /** The number of events before this one that this watcher will not get: it read too slowly, or asked too late. */
  readonly missed: number;
}

export interface EventJournalOptions {
  readonly clock?: Clock;
  /** The kinds that are counted from the start, so that a metric shows those that have not happened yet as 0. */
  readonly kinds?: readonly EventKind[];
  /** Called with every event, of any severity, as it happens: the log. */
  readonly write?: (event: Event) => void;
}

/**
 * Holds what happened to this node since its process started: the last 1,000 events of `info` and above, and how often each
 * kind occurred. The log, the console, `coxswain events` and the metric `coxswain_events_total` all read it.
 */
export class EventJournal {
  /** When this process began to count, in milliseconds since 1970: sequence numbers of another start mean nothing here. */
  readonly startedAtMs: number;
  readonly #clock: Clock;
  readonly #write: (event: Event) => void;
  readonly #counts: Map<EventKind, number>;
  /** The event with sequence number n is at n modulo the size. */
  readonly #ring: Event[] = [];
  readonly #waiters: Waiters;
  #sequence = 0;
  #isClosed = false;

  constructor({ clock = systemClock, kinds = [], write = () => undefined }: EventJournalOptions = {}) {
    this.#clock = clock;
    this.#write = write;
    this.#counts = new Map(kinds.map((kind) => [kind, 0]));
    this.#waiters = new Waiters(clock);
    this.startedAtMs = clock.nowMs();
  }

  /** Takes an event: this is what all parts of the node report to. */
  readonly log: Log = (kind, fields = {}) => {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    const isKept = kind.severity !== 'debug';
    if (isKept) this.#sequence++;
    const event: Event = { sequence: this.#sequence, atMs: this.#clock.nowMs(), kind, fields };
    this.#write(event);
    if (!isKept) return;
    this.#ring[this.#sequence % EVENTS_KEPT] = event;
    this.#waiters.notify();
  };

  /** The sequence number of the newest event that is kept; 0 before the first. */
  get sequence(): number {
    return this.#sequence;
  }

  /** How often each kind occurred since the process started, debug events among them. */
  get counts(): ReadonlyMap<EventKind, number> {
    return this.#counts;
  }

  /** Returns the last events, at most `n`, the oldest first. */
  recent(n: number): Event[] {
    return this.since(Math.max(0, this.#sequence - n));
  }

  /**
   * Returns the events after that sequence number, the oldest first, as far as they are kept. A number that has not been
   * given out yet is of another start of the process: everything that is kept comes.
   */
  since(sequence: number): Event[] {
    const events: Event[] = [];
    const first = Math.max(this.#position(sequence), this.#sequence - EVENTS_KEPT) + 1;
    for (let next = first; next <= this.#sequence; next++) events.push(this.#ring[next % EVENTS_KEPT]!);
    return events;
  }

  /**
   * Gives the events after that sequence number (see `since`), and then each as it happens, until `signal` is aborted or the
   * node stops. It holds nothing for a watcher: one that reads too slowly goes on at the oldest event that is still kept,
   * whose `missed` says how many it has lost.
   */
  async *watch(sequence: number, signal: AbortSignal): AsyncGenerator<WatchedEvent, void, undefined> {
    let position = this.#position(sequence);
    while (!signal.aborted) {
      if (position < this.#sequence) {
        const next = Math.max(position, this.#sequence - EVENTS_KEPT) + 1;
        const missed = next - position - 1;
        position = next;
        yield { ...this.#ring[next % EVENTS_KEPT]!, missed };
      } else {
        if (this.#isClosed) return;
        await this.#waiters.until(
          () => this.#isClosed || position < this.#sequence,
          LOOK_INTERVAL_MS,
          signal,
        );
      }
    }
  }

  /** Ends every watch, once it has given what happened until now. Events are still taken and written. */
  close(): void {
    this.#isClosed = true;
    this.#waiters.notify();
  }

  #position(sequence: number): number {
    return sequence > this.#sequence ? 0 : sequence;
  }
}
