import { type Call, errors } from '@coxswain/node';
import type { Clock, Timer } from '@coxswain/runtime';
import type { TableSnapshot } from './table-snapshot.js';

/**
 * Milliseconds for which an interrupted download can be resumed. Meanwhile the store keeps data that was overwritten.
 */
const KEPT_MS = 60_000;
/** The most interrupted downloads that are kept, the latest ones. */
const KEPT_MAX = 4;

/** The source of snapshots: `LeaderReplication`. */
export interface SnapshotSource {
  /** Takes a snapshot. Errors: those of a follower cluster, of an unknown table, and of a linearizable read. */
  openSnapshot(table: string, call: Call): Promise<TableSnapshot>;
  /** True when an operator has paused this node; downloads under way then break off. */
  readonly isPaused: boolean;
  /**
   * Takes one of the places for snapshots that are sent at the same time, and returns a function that frees it. Throws
   * tooBusy.
   */
  enterSnapshot(): () => void;
}

/** A request for a snapshot, or for the rest of one. */
export interface DownloadRequest {
  readonly table: string;
  /** The tag of the download to resume; undefined begins a new one. */
  readonly tag: string | undefined;
  /** The first wanted byte of the snapshot. */
  readonly from: number;
}

/** One download. The caller either iterates `bytes`, once and at least to the first chunk, or calls `end`. */
export interface Download {
  readonly tag: string;
  readonly leaderIndex: number;
  /** The first byte that is sent: the requested one, or 0 when that snapshot is gone. */
  readonly from: number;
  /** The bytes of the whole snapshot; undefined for a new one, whose size is unknown before it has been sent. */
  readonly sizeBytes: number | undefined;
  /** Streams the bytes to send. `seen` gets the bytes of the whole snapshot, including those that are not sent. */
  readonly bytes: (seen: (bytes: Buffer) => void) => AsyncGenerator<Buffer>;
  readonly end: () => void;
}

interface Kept {
  readonly table: string;
  readonly snapshot: TableSnapshot;
  readonly timer: Timer;
}

/**
 * Serves live snapshots for followers that download them over HTTP. It writes nothing to disk: to resume a download, it
 * generates the stream again from the same view of the table and skips the part that the follower has.
 */
export class SnapshotDownloads {
  readonly #source: SnapshotSource;
  readonly #clock: Clock;
  /** The snapshots of interrupted downloads by tag, the oldest first. */
  readonly #kept = new Map<string, Kept>();
  #isClosed = false;

  constructor(source: SnapshotSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Begins or resumes a download. Errors: those of `SnapshotSource`. */
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

  /** Releases the snapshots of interrupted downloads. */
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
