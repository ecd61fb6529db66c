import type { Call, ShardLoad } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import {
  compareKeys,
  type KeyPlace,
  PairRecord,
  REVISION_MAX,
  readSnapshotRecords,
  SnapshotDamagedError,
  SnapshotRecords,
} from '@coxswain/stream';

/** The bytes of records in one entry of a load: it travels and is applied like any other entry. */
const LOAD_BYTES_MAX = 512 * 1024;
const LOAD_RECORDS_MAX = 2_000;
/**
 * While one load is applied others are on their way to the disk. Twice as many are a twentieth faster, and take 50 MB
 * more.
 */
const LOADS_IN_FLIGHT_MAX = 4;
const LOAD_MS = 60_000;
const LENGTH_BYTES = 8;
const { PUT, DUMMY } = mvcc.Command_CommandType;
const NO_RECORDS = new SnapshotRecords(Buffer.alloc(0), [], []);

/** The result of filling a shard. */
export interface Filled {
  readonly keyCount: number;
  /** True when some keys came without revisions. */
  readonly hasUnstamped: boolean;
  /** The index of the DUMMY that ends the pairs; undefined: there was none. */
  readonly leaderIndex: number | undefined;
}

/** The result of filling in the beginning of a stream, and the records that came with its DUMMY. */
export interface FilledPart {
  readonly filled: Filled;
  /** Records after the DUMMY; more may follow in the stream. */
  readonly rest: SnapshotRecords;
}

/** Brings a snapshot stream into a shard through its log, checked record by record before it is proposed (A3). */
export class ShardFiller {
  readonly #shard: ShardLoad;
  readonly #clock: Clock;
  /** The load that is being gathered: its records, in the memory in which they came. */
  #parts: Buffer[] = [];
  /** The last part, while it can be extended: records that lie one after the other in memory are one part. */
  #open: { readonly bytes: Buffer; readonly start: number; end: number } | undefined;
  #bytes = 0;
  #records = 0;
  readonly #inFlight = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #keyCount = 0;
  #hasUnstamped = false;
  #leaderIndex: number | undefined;
  readonly #pair = new PairRecord();
  /** The key of the previous pair. */
  #last: KeyPlace = { bytes: Buffer.alloc(0), keyStart: 0, keyEnd: 0 };

  constructor(shard: ShardLoad, clock: Clock) {
    this.#shard = shard;
    this.#clock = clock;
  }

  /**
   * Fills in a whole snapshot. Rejects with SnapshotDamagedError, the stream's error, or that of a proposal; then the
   * shard must be discarded. Holds no more than the loads under way.
   */
  async fill(stream: AsyncIterable<Buffer>): Promise<Filled> {
    const records = readSnapshotRecords(stream);
    try {
      const { filled, rest } = await this.fillFrom(records);
      if (rest.starts.length > 0 || !(await records.next()).done) {
        throw new SnapshotDamagedError('records follow its end');
      }
      return filled;
    } finally {
      await records.return();
    }
  }

  /**
   * Works as `fill` does, but takes only the records up to a DUMMY: the rest is for the caller, who also ends
   * `records`.
   */
  async fillFrom(records: AsyncIterator<SnapshotRecords, void, undefined>): Promise<FilledPart> {
    let rest = NO_RECORDS;
    try {
      for (let next = await records.next(); !next.done; next = await records.next()) {
        rest = await this.#fillSome(next.value);
        if (this.#failure !== undefined) throw this.#failure.error;
        if (this.#leaderIndex !== undefined) break;
      }
      if (this.#records > 0) await this.#load();
    } finally {
      await Promise.all(this.#inFlight);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    return {
      filled: { keyCount: this.#keyCount, hasUnstamped: this.#hasUnstamped, leaderIndex: this.#leaderIndex },
      rest,
    };
  }

  /** Fills in records, and returns those after a DUMMY. */
  async #fillSome(records: SnapshotRecords): Promise<SnapshotRecords> {
    for (let place = 0; place < records.starts.length; place++) {
      this.#take(records, place);
      if (this.#leaderIndex !== undefined) return records.from(place + 1);
      if (this.#bytes >= LOAD_BYTES_MAX || this.#records >= LOAD_RECORDS_MAX) await this.#load();
    }
    return NO_RECORDS;
  }

  #take({ bytes, starts, ends }: SnapshotRecords, place: number): void {
    const start = starts[place]!;
    const end = ends[place]!;
    const pair = this.#pair;
    if (!pair.read(bytes, start, end) && !this.#takeUnusual(bytes.subarray(start, end))) return;
    // Some leaders send a record with an empty key, which no table can hold.
    if (pair.keyEnd === pair.keyStart) return;
    pair.check();
    const order = compareKeys(pair, this.#last);
    // A pair may come twice in a row, for the sake of stock loaders (docs/protocol.md §3).
    if (order === 0) return;
    if (order < 0) throw new SnapshotDamagedError('its keys are not in order');
    this.#last = { bytes: pair.bytes, keyStart: pair.keyStart, keyEnd: pair.keyEnd };
    this.#keyCount++;
    if (pair.modRevision === 0) this.#hasUnstamped = true;
    this.#add(bytes, start, end);
  }

  /** Takes a record that may hold no pair. Returns false when it is the last record. */
  #takeUnusual(record: Buffer): boolean {
    const { type, kv, leaderIndex } = decode(record);
    if (type === DUMMY) {
      this.#leaderIndex = Number(leaderIndex ?? 0n);
      if (this.#leaderIndex > REVISION_MAX)
        throw new SnapshotDamagedError('its leader_index is out of range');
      return false;
    }
    if (type !== PUT || kv === undefined)
      throw new SnapshotDamagedError(`it holds a command of type ${type}`);
    this.#pair.assign(kv);
    return true;
  }

  /** Adds a record to the load; its length stands before it. */
  #add(bytes: Buffer, start: number, end: number): void {
    const from = start - LENGTH_BYTES;
    if (this.#open?.bytes === bytes && this.#open.end === from) this.#open.end = end;
    else {
      this.#closePart();
      this.#open = { bytes, start: from, end };
    }
    this.#bytes += end - from;
    this.#records++;
  }

  #closePart(): void {
    if (this.#open !== undefined)
      this.#parts.push(this.#open.bytes.subarray(this.#open.start, this.#open.end));
    this.#open = undefined;
  }

  async #load(): Promise<void> {
    while (this.#inFlight.size >= LOADS_IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#closePart();
    const records = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    this.#records = 0;
    const call: Call = { deadlineMs: this.#clock.monotonicMs() + LOAD_MS };
    const load = this.#shard
      .load(records, call)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#inFlight.delete(load));
    this.#inFlight.add(load);
  }
}

function decode(record: Buffer): mvcc.Command {
  try {
    return mvcc.Command.decode(record);
  } catch (error) {
    throw new SnapshotDamagedError('a record is not a Command', { cause: error });
  }
}
