import type { Call, Clock, ShardLoad } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import {
  PairRecord,
  REVISION_MAX,
  readSnapshotRecords,
  SnapshotDamagedError,
  type SnapshotRecords,
} from '@coxswain/table';

/** What one entry of a load holds: it travels and is applied like any other. */
const LOAD_BYTES_MAX = 512 * 1024;
const LOAD_RECORDS_MAX = 2_000;
/** While one is applied others are on their way to the disk. Twice as many are a twentieth faster, and take 50 MB more. */
const LOADS_IN_FLIGHT_MAX = 4;
const LOAD_MS = 60_000;
const LENGTH_BYTES = 8;
const { PUT, DUMMY } = mvcc.Command_CommandType;

/** What was filled in. */
export interface Filled {
  readonly keyCount: number;
  /** Some keys came without revisions. */
  readonly hasUnstamped: boolean;
  /** Of the DUMMY that ends a snapshot; undefined: there was none. */
  readonly leaderIndex: number | undefined;
}

/** Brings a snapshot stream into a shard through its log, checked record by record before it is proposed (A3). */
export class ShardFiller {
  readonly #shard: ShardLoad;
  readonly #clock: Clock;
  /** The load that is being gathered. */
  #buffer: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #records = 0;
  readonly #inFlight = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #keyCount = 0;
  #hasUnstamped = false;
  #leaderIndex: number | undefined;
  readonly #pair = new PairRecord();
  /** The key before. */
  #last: Pick<PairRecord, 'bytes' | 'keyStart' | 'keyEnd'> = {
    bytes: Buffer.alloc(0),
    keyStart: 0,
    keyEnd: 0,
  };

  constructor(shard: ShardLoad, clock: Clock) {
    this.#shard = shard;
    this.#clock = clock;
  }

  /**
   * Rejects with SnapshotDamagedError, the stream's error, or that of a proposal; then the shard is good for nothing.
   * Holds no more than what is under way.
   */
  async fill(stream: AsyncIterable<Buffer>): Promise<Filled> {
    try {
      for await (const records of readSnapshotRecords(stream)) {
        for (let place = 0; place < records.starts.length; place++) {
          this.#take(records, place);
          if (this.#bytes >= LOAD_BYTES_MAX || this.#records >= LOAD_RECORDS_MAX) await this.#load();
        }
        if (this.#failure !== undefined) throw this.#failure.error;
      }
      if (this.#records > 0) await this.#load();
    } finally {
      await Promise.all(this.#inFlight);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    return { keyCount: this.#keyCount, hasUnstamped: this.#hasUnstamped, leaderIndex: this.#leaderIndex };
  }

  #take({ bytes, starts, ends }: SnapshotRecords, place: number): void {
    if (this.#leaderIndex !== undefined) throw new SnapshotDamagedError('records follow its end');
    const start = starts[place]!;
    const end = ends[place]!;
    const pair = this.#pair;
    if (!pair.read(bytes, start, end) && !this.#takeUnusual(bytes.subarray(start, end))) return;
    // Some leaders send a record with an empty key, which no table can hold.
    if (pair.keyEnd === pair.keyStart) return;
    pair.check();
    const last = this.#last;
    const order = pair.bytes.compare(last.bytes, last.keyStart, last.keyEnd, pair.keyStart, pair.keyEnd);
    // A pair may come twice in a row, for the sake of stock loaders (regatta-protocol.md §3).
    if (order === 0) return;
    if (order < 0) throw new SnapshotDamagedError('its keys are not in order');
    last.bytes = pair.bytes;
    last.keyStart = pair.keyStart;
    last.keyEnd = pair.keyEnd;
    this.#keyCount++;
    if (pair.modRevision === 0) this.#hasUnstamped = true;
    this.#add(bytes, start, end);
  }

  /** False: it is the last record, which holds no pair. */
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

  /** Its length stands before it. */
  #add(bytes: Buffer, start: number, end: number): void {
    const from = start - LENGTH_BYTES;
    const sizeBytes = this.#bytes + end - from;
    if (sizeBytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(sizeBytes, LOAD_BYTES_MAX + end - from));
      this.#buffer.copy(larger, 0, 0, this.#bytes);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.#bytes, from, end);
    this.#bytes = sizeBytes;
    this.#records++;
  }

  async #load(): Promise<void> {
    while (this.#inFlight.size >= LOADS_IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    if (this.#failure !== undefined) throw this.#failure.error;
    const records = this.#buffer.subarray(0, this.#bytes);
    this.#buffer = Buffer.alloc(0);
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
