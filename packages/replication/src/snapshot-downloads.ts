import { type Call, errors } from '@coxswain/node';
import type { Clock, Timer } from '@coxswain/runtime';
import type { TableSnapshot } from './table-snapshot.js';

/** How long a download that broke off can be resumed. Meanwhile the store keeps records that have been overwritten. */
const KEPT_MS = 60_000;
/** How many downloads that broke off are kept at a time, the latest. */
const KEPT_MAX = 4;

/** The source of snapshots: `LeaderReplication`. */
export interface SnapshotSource {
  /** Opens a snapshot. Errors: those of a follower cluster, of an unknown table, and of a linearizable read. */
  openSnapshot(table: string, call: Call): Promise<TableSnapshot>;
  /** True when an operator has paused this node: snapshots that are being sent break off. */
  readonly isPaused: boolean;
  /**
   * Takes one of the places for snapshots that are sent at a time, and returns a function that frees it. Throws
   * tooBusy.
   */
  enterSnapshot(): () => void;
}

/** The part of a snapshot that is asked for. */
export interface DownloadRequest {
  readonly table: string;
  /** The tag of the download that is resumed; undefined: a new one. */
  readonly tag: string | undefined;
  /** The first byte that the follower wants. */
  readonly from: number;
}

/** One download. Either its `bytes` are iterated, once and at least to the first of them, or it is ended by `end`. */
export interface Download {
  readonly tag: string;
  readonly leaderIndex: number;
  /** The first byte that is sent: the one that was asked for, or 0 where that snapshot is gone. */
  readonly from: number;
  /** The length of the whole snapshot; undefined for a new one: nobody knows it before it has been sent. */
  readonly sizeBytes: number | undefined;
  /** Yields the bytes to send. `seen` gets the whole snapshot, including the bytes that are not sent. */
  readonly bytes: (seen: (bytes: Buffer) => void) => AsyncGenerator<Buffer>;
  readonly end: () => void;
}

interface Kept {
  readonly table: string;
  readonly snapshot: TableSnapshot;
  readonly timer: Timer;
}

/**
 * Serves live snapshots to followers that download them over HTTP. Nothing is written to disk: a resumed download is
 * made anew from the same view of the table, and the bytes that the follower has are left out.
 */
export class SnapshotDownloads {
  readonly #source: SnapshotSource;
  readonly #clock: Clock;
  /** Downloads that broke off, by tag, with the oldest first. */
  readonly #kept = new Map<string, Kept>();
  #isClosed = false;

  constructor(source: SnapshotSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Begins a download. Errors: those of `SnapshotSource`. */
  async begin({ table, tag, from }: DownloadRequest, call: Call): Promise<Download> {
    const leave = this.#source.enterSnapshot();
    let snapshot: TableSnapshot | undefined;
    try {
      snapshot = this.#takeKept(table, tag) ?? (await this.#source.openSnapshot(table, call));
      const taken = snapshot;
      const first = snapshot.tag === tag ? from : 0;
      let sizeBytes: number | undefined;
      if (first > 0) {
        sizeBytes = 0;
        for await (const { length } of snapshot.stream()) sizeBytes += length;
      }
      return {
        sizeBytes,
        end: () => {
          leave();
          taken.close();
        },
        tag: snapshot.tag,
        leaderIndex: snapshot.leaderIndex,
        from: first,
        bytes: (seen) => this.#send(table, taken, first, seen, leave),
      };
    } catch (error) {
      leave();
      snapshot?.close();
      throw error;
    }
  }

  /** Releases the downloads that are kept. */
  close(): void {
    this.#isClosed = true;
    for (const tag of [...this.#kept.keys()]) this.#drop(tag);
  }

  async *#send(
    table: string,
    snapshot: TableSnapshot,
    from: number,
    seen: (bytes: Buffer) => void,
    leave: () => void,
  ): AsyncGenerator<Buffer> {
    let at = 0;
    let isBrokenOff = true;
    try {
      for await (const bytes of snapshot.stream()) {
        if (this.#source.isPaused) throw errors.logPaused();
        seen(bytes);
        const end = at + bytes.length;
        if (end > from) yield bytes.subarray(Math.max(0, from - at));
        at = end;
      }
      isBrokenOff = false;
    } catch (error) {
      isBrokenOff = false;
      throw error;
    } finally {
      leave();
      if (isBrokenOff) this.#keep(table, snapshot);
      else snapshot.close();
    }
  }

  #takeKept(table: string, tag: string | undefined): TableSnapshot | undefined {
    const kept = tag === undefined ? undefined : this.#kept.get(tag);
    if (kept === undefined || kept.table !== table) return undefined;
    kept.timer.cancel();
    this.#kept.delete(tag!);
    return kept.snapshot;
  }

  #keep(table: string, snapshot: TableSnapshot): void {
    const { tag } = snapshot;
    if (this.#isClosed || this.#kept.has(tag)) {
      snapshot.close();
      return;
    }
    const timer = this.#clock.startTimer(KEPT_MS, () => this.#drop(tag));
    this.#kept.set(tag, { table, snapshot, timer });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) return;
      this.#drop(oldest);
    }
  }

  #drop(tag: string): void {
    const kept = this.#kept.get(tag);
    kept?.timer.cancel();
    kept?.snapshot.close();
    this.#kept.delete(tag);
  }
}
