import type { Call, Clock, ShardLoad } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { type PairRecord, readPairRecord, readSnapshotRecords, SnapshotDamagedError } from '@coxswain/table';

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
  #lastKey: Buffer | undefined;

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
        for (const record of records) {
          this.#take(record);
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

  #take(record: Buffer): void {
    if (this.#leaderIndex !== undefined) throw new SnapshotDamagedError('records follow its end');
    const pair = readPairRecord(record, 0, record.length) ?? this.#takeUnusual(record);
    // Some leaders send a record with an empty key, which no table can hold.
    if (pair === undefined || pair.key.length === 0) return;
    const order = this.#lastKey === undefined ? 1 : Buffer.compare(pair.key, this.#lastKey);
    // A pair may come twice in a row, for the sake of stock loaders (regatta-protocol.md §3).
    if (order === 0) return;
    if (order < 0) throw new SnapshotDamagedError('its keys are not in order');
    this.#lastKey = pair.key;
    this.#keyCount++;
    if (pair.modRevision === 0) this.#hasUnstamped = true;
    this.#add(record);
  }

  /** Undefined: it is the last record, which holds no pair. */
  #takeUnusual(record: Buffer): Pick<PairRecord, 'key' | 'modRevision'> | undefined {
    const { type, kv, leaderIndex } = decode(record);
    if (type === DUMMY) {
      this.#leaderIndex = Number(leaderIndex ?? 0n);
      return undefined;
    }
    if (type !== PUT || kv === undefined)
      throw new SnapshotDamagedError(`it holds a command of type ${type}`);
    return { key: kv.key, modRevision: Number(kv.modRevision) };
  }

  #add(record: Buffer): void {
    const end = this.#bytes + LENGTH_BYTES + record.length;
    if (end > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, LOAD_BYTES_MAX + LENGTH_BYTES + record.length));
      this.#buffer.copy(larger, 0, 0, this.#bytes);
      this.#buffer = larger;
    }
    // No record is longer than 32 bits can say.
    this.#buffer.writeUInt32LE(record.length, this.#bytes);
    this.#buffer.writeUInt32LE(0, this.#bytes + 4);
    record.copy(this.#buffer, this.#bytes + LENGTH_BYTES);
    this.#bytes = end;
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
