import { createHash, webcrypto } from 'node:crypto';
import { mvcc } from '@coxswain/protocol';
import { compressToFrames, FrameDecompressor, STREAM_IDENTIFIER } from '@coxswain/stream';
import { archiveErrors } from './errors.js';
import { HASH_DIGITS, logName, type ShardKey } from './names.js';

/*
 * A log object is framed snappy of a header, u32 length and JSON, and then of the entries, each u64 index, u64 term,
 * u64 time in ms, u32 length and the command. Integers are little-endian. The object says nothing about the node that
 * wrote it.
 */

/** A shard, as each of its objects describes it. */
export interface ArchivedShard extends ShardKey {
  readonly table: string;
  /**
   * The index of the shard's very first entry: the log from there on makes the whole table (T1). 0 when the shard was
   * filled by a load, so that a restore needs a base in any case.
   */
  readonly firstIndex: number;
}

/** A committed and applied entry (R6), as the archive holds it. */
export interface ArchivedEntry {
  readonly index: number;
  readonly term: number;
  /** The leader's stamp (A7), in milliseconds since 1970; 0 for an internal entry. */
  readonly timeMs: number;
  /** A marshalled mvcc.v1.Command, as follower clusters of stock get it (R3); empty for an internal entry. */
  readonly command: Buffer;
}

/**
 * The command of the entry with which a shard ends when its table was deleted or replaced (T2): a DUMMY, which does
 * nothing.
 */
export const END_OF_SHARD = mvcc.Command.encode(
  mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.DUMMY }),
).finish() as Buffer;

/** The run of entries that an object holds, and their times. */
export interface LogExtent {
  readonly first: number;
  readonly last: number;
  /** The time of the first entry that has one, in milliseconds since 1970; 0 when none has. */
  readonly firstTimeMs: number;
  /** The time of the last entry that has one, in milliseconds since 1970; 0 when none has. */
  readonly lastTimeMs: number;
}

interface LogHeader extends ArchivedShard, LogExtent {
  readonly format: number;
}

/** A finished log object, to be stored. */
export interface LogObject extends LogExtent {
  readonly name: string;
  readonly content: Buffer;
  readonly sizeBytes: number;
  readonly sha256: string;
}

const FORMAT = 1;
const LENGTH_BYTES = 4;
const ENTRY_HEADER_BYTES = 28;
/** Bytes of entries that are compressed at a time. */
const PORTION_BYTES = 64 * 1024;
const HEADER_BYTES_MAX = 64 * 1024;
/** The largest command that a reader accepts, in bytes: no accepted request makes a larger entry (P4). */
const COMMAND_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Puts entries into a log object. It holds the compressed bytes, which `sizeBytes` counts, and besides at most 64 KiB
 * or one entry: the caller must finish it in time.
 */
export class LogObjectWriter {
  readonly #shard: ArchivedShard;
  readonly #frames: Buffer[] = [];
  #compressedBytes = 0;
  #portion: Buffer[] = [];
  #portionBytes = 0;
  #first = 0;
  #last = 0;
  #firstTimeMs = 0;
  #lastTimeMs = 0;

  constructor(shard: ArchivedShard) {
    this.#shard = shard;
  }

  /** The size that the object will have in the store, in bytes and approximately. */
  get sizeBytes(): number {
    return this.#compressedBytes + this.#portionBytes;
  }

  get isEmpty(): boolean {
    return this.#first === 0;
  }

  /** The index of the last entry that was added; 0 when there is none. */
  get last(): number {
    return this.#last;
  }

  /** Adds an entry, whose index must follow the last one's. The command is copied or compressed before this returns. */
  add(entry: ArchivedEntry): void {
    const { index, term, timeMs, command } = entry;
    if (!this.isEmpty && index !== this.#last + 1) {
      throw new Error(`entry ${index} cannot follow entry ${this.#last} in a log object`);
    }
    if (this.isEmpty) this.#first = index;
    this.#last = index;
    if (timeMs !== 0) {
      if (this.#firstTimeMs === 0) this.#firstTimeMs = timeMs;
      this.#lastTimeMs = timeMs;
    }
    const bytes = Buffer.allocUnsafe(ENTRY_HEADER_BYTES + command.length);
    bytes.writeBigUInt64LE(BigInt(index), 0);
    bytes.writeBigUInt64LE(BigInt(term), 8);
    bytes.writeBigUInt64LE(BigInt(timeMs), 16);
    bytes.writeUInt32LE(command.length, 24);
    bytes.set(command, ENTRY_HEADER_BYTES);
    this.#portion.push(bytes);
    this.#portionBytes += bytes.length;
    if (this.#portionBytes >= PORTION_BYTES) this.#compress();
  }

  /**
   * Finishes the object, which must have at least one entry. Hashing takes place in the thread pool, not on the event
   * loop.
   */
  async finish(): Promise<LogObject> {
    if (this.isEmpty) throw new Error('a log object holds at least one entry');
    this.#compress();
    const extent = {
      first: this.#first,
      last: this.#last,
      firstTimeMs: this.#firstTimeMs,
      lastTimeMs: this.#lastTimeMs,
    };
    const { clusterId, shardId, table, firstIndex } = this.#shard;
    const header: LogHeader = { format: FORMAT, clusterId, shardId, table, firstIndex, ...extent };
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32LE(json.length);
    const content = Buffer.concat([
      STREAM_IDENTIFIER,
      compressToFrames(Buffer.concat([length, json])),
      ...this.#frames,
    ]);
    const sha256 = Buffer.from(await webcrypto.subtle.digest('SHA-256', content)).toString('hex');
    const name = logName(this.#shard, extent.first, extent.last, sha256);
    return { ...extent, name, content, sizeBytes: content.length, sha256 };
  }

  #compress(): void {
    if (this.#portionBytes === 0) return;
    const frames = compressToFrames(Buffer.concat(this.#portion));
    this.#frames.push(frames);
    this.#compressedBytes += frames.length;
    this.#portion = [];
    this.#portionBytes = 0;
  }
}

/**
 * The properties that a log object must turn out to have. All but `name` are left out when only the object itself says
 * them, as in a backup.
 */
export interface ExpectedLogObject extends Partial<ShardKey> {
  /** The object's name, for messages. */
  readonly name: string;
  readonly first?: number | undefined;
  readonly last?: number | undefined;
  /** The hash in the object's name in the archive: the first 16 hex digits of its SHA-256. */
  readonly hash?: string | undefined;
  /** The SHA-256 in the manifest, in hex. */
  readonly sha256?: string | undefined;
  readonly sizeBytes?: number | undefined;
}

/**
 * Reads a log object without trusting it: it checks header, order, length and hash. The hash of the whole is known only
 * at its end, so the entries may be relied on only when `entries` has ended without an error. Each block's own checksum
 * is checked before any of the block is yielded.
 */
export class LogObjectReader {
  readonly #expected: ExpectedLogObject;
  readonly #content: AsyncIterable<Buffer>;
  #header: LogHeader | undefined;

  /** `content` is the content of the object, as `ObjectStore.get` yields it. */
  constructor(expected: ExpectedLogObject, content: AsyncIterable<Buffer>) {
    this.#expected = expected;
    this.#content = content;
  }

  /** The header of the object; undefined until `entries` has yielded something. */
  get header(): (ArchivedShard & LogExtent) | undefined {
    return this.#header;
  }

  /** Reads only the header. Rejects with objectDamaged, and with the errors of the content. */
  async readHeader(): Promise<ArchivedShard & LogExtent> {
    for await (const _entries of this.entries()) break;
    if (!this.#header) throw this.#damaged('it has no header');
    return this.#header;
  }

  /**
   * Yields the entries, some at a time, perhaps none. Their commands share memory with nothing that changes later.
   * Throws objectDamaged, and the errors of the content.
   */
  async *entries(): AsyncGenerator<ArchivedEntry[], void, undefined> {
    const hash = createHash('sha256');
    const decompressor = new FrameDecompressor();
    let sizeBytes = 0;
    let rest: Buffer = Buffer.alloc(0);
    const state = { next: 0, firstTimeMs: 0, lastTimeMs: 0, term: 0 };
    for await (const piece of this.#content) {
      hash.update(piece);
      sizeBytes += piece.length;
      // In small steps, so that a piece that compresses well does not become much memory at once.
      for (let at = 0; at < piece.length; at += PORTION_BYTES) {
        const plain = this.#checked(() => decompressor.update(piece.subarray(at, at + PORTION_BYTES)));
        if (plain.length === 0) continue;
        rest = rest.length === 0 ? plain : Buffer.concat([rest, plain]);
        if (!this.#header) {
          const taken = this.#takeHeader(rest);
          if (taken === undefined) continue;
          rest = rest.subarray(taken);
        }
        const entries: ArchivedEntry[] = [];
        state.next ||= this.#header!.first;
        rest = this.#takeEntries(rest, entries, { ...this.#header!, state });
        // Yields even when there is only the header, so that a caller that wants no more can stop.
        yield entries;
      }
    }
    this.#checked(() => decompressor.end());
    if (rest.length > 0) throw this.#damaged('it ends within an entry');
    this.#checkEnd(state, sizeBytes, hash.digest('hex'));
  }

  #takeHeader(bytes: Buffer): number | undefined {
    if (bytes.length < LENGTH_BYTES) return undefined;
    const length = bytes.readUInt32LE(0);
    if (length > HEADER_BYTES_MAX) throw this.#damaged('its header is too large to be one');
    if (bytes.length < LENGTH_BYTES + length) return undefined;
    this.#header = this.#parseHeader(bytes.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length));
    return LENGTH_BYTES + length;
  }

  #parseHeader(text: string): LogHeader {
    const header = this.#checked(() => JSON.parse(text) as Partial<LogHeader> | null);
    if (!header || header.format !== FORMAT) {
      throw this.#damaged(`its format is ${header?.format}, and this version knows ${FORMAT}`);
    }
    const { clusterId, shardId, first, last } = { ...header, ...withoutUndefined(this.#expected) };
    const isThis =
      header.clusterId === clusterId &&
      header.shardId === shardId &&
      header.first === first &&
      header.last === last;
    if (!isThis) {
      throw this.#damaged(
        `its header is that of entries ${header.first} to ${header.last} of shard ${header.shardId} of cluster ${header.clusterId}`,
      );
    }
    const numbers = [shardId, first, last, header.firstIndex, header.firstTimeMs, header.lastTimeMs];
    const texts = [header.table, clusterId];
    const isWhole = numbers.every(Number.isSafeInteger) && texts.every((text) => typeof text === 'string');
    if (!isWhole || first! < 1 || last! < first!) throw this.#damaged('its header lacks something');
    return header as LogHeader;
  }

  #takeEntries(
    bytes: Buffer,
    into: ArchivedEntry[],
    {
      last,
      state,
    }: {
      readonly last: number;
      readonly state: { next: number; firstTimeMs: number; lastTimeMs: number; term: number };
    },
  ): Buffer {
    let at = 0;
    while (bytes.length - at >= ENTRY_HEADER_BYTES) {
      const index = Number(bytes.readBigUInt64LE(at));
      const term = Number(bytes.readBigUInt64LE(at + 8));
      const timeMs = Number(bytes.readBigUInt64LE(at + 16));
      const length = bytes.readUInt32LE(at + 24);
      if (index !== state.next || index > last) {
        throw this.#damaged(
          state.next > last
            ? `it goes on behind entry ${last}`
            : `entry ${state.next} is missing: entry ${index} stands in its place`,
        );
      }
      if (length > COMMAND_BYTES_MAX) throw this.#damaged(`entry ${index} is larger than any can be`);
      const end = at + ENTRY_HEADER_BYTES + length;
      if (end > bytes.length) break;
      if (term < state.term) throw this.#damaged(`the term goes back at entry ${index}`);
      if (timeMs !== 0) {
        if (timeMs < state.lastTimeMs) throw this.#damaged(`time goes back at entry ${index}`);
        if (state.firstTimeMs === 0) state.firstTimeMs = timeMs;
        state.lastTimeMs = timeMs;
      }
      state.term = term;
      into.push({ index, term, timeMs, command: bytes.subarray(at + ENTRY_HEADER_BYTES, end) });
      state.next++;
      at = end;
    }
    return bytes.subarray(at);
  }

  #checkEnd(
    state: { next: number; firstTimeMs: number; lastTimeMs: number },
    sizeBytes: number,
    sha256: string,
  ): void {
    const expected = this.#expected;
    if (!this.#header) throw this.#damaged('it has no header');
    const { last } = this.#header;
    if (state.next !== last + 1) throw this.#damaged(`it ends before entry ${state.next} of ${last}`);
    if (state.firstTimeMs !== this.#header.firstTimeMs || state.lastTimeMs !== this.#header.lastTimeMs) {
      throw this.#damaged('its header tells other times than its entries');
    }
    if (expected.sizeBytes !== undefined && sizeBytes !== expected.sizeBytes) {
      throw this.#damaged(`it has ${sizeBytes} bytes, and the manifest says ${expected.sizeBytes}`);
    }
    if (expected.hash !== undefined && sha256.slice(0, HASH_DIGITS) !== expected.hash) {
      throw this.#damaged('its sha256 is not the one in its name');
    }
    if (expected.sha256 !== undefined && sha256 !== expected.sha256) {
      throw this.#damaged("its sha256 is not the manifest's");
    }
  }

  #checked<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#damaged(error instanceof Error ? error.message : String(error), error);
    }
  }

  #damaged(detail: string, cause?: unknown): Error {
    return archiveErrors.objectDamaged(this.#expected.name, detail, { cause });
  }
}

/** Copies an object without the properties that are undefined. */
function withoutUndefined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}
