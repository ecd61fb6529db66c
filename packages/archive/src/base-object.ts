import { createHash } from 'node:crypto';
import { STREAM_IDENTIFIER } from '@coxswain/stream';
import { archiveErrors } from './errors.js';
import type { ArchivedShard } from './log-object.js';

/*
 * A base is a backup stream, framed snappy, between two chunks that readers of framed snappy skip (the format has such
 * types). The first says what it is a backup of, the last how long everything before it is, and its SHA-256. So a base
 * by itself shows whether it is whole, and can still be read as a stock backup.
 */

/** Describes the state that a base is a backup of. */
export interface BaseInfo extends ArchivedShard {
  /** The revision of the view that the base was made of: later entries are not in it. */
  readonly revision: number;
  /**
   * When the base was made, by the leader's clock, in milliseconds since 1970; not before any entry that is in it. The
   * shard was serving by then, so no earlier moment can be restored from the base.
   */
  readonly timeMs: number;
  /**
   * The time of the last entry that is in the base (A7), in milliseconds since 1970; undefined when it is not recorded.
   */
  readonly lastTimeMs?: number | undefined;
}

const FORMAT = 1;
const INFO_CHUNK = 0xb0;
const END_CHUNK = 0xb1;
const CHUNK_HEADER_BYTES = 4;
/**
 * The largest chunk that a reader accepts, in bytes. A block of 64 KiB that snappy made larger, with its checksum, is
 * well below it.
 */
const CHUNK_BYTES_MAX = 128 * 1024;

/** Writes a base. `backup` is framed snappy of records in key order, as Maintenance.Backup yields it. */
export async function* writeBaseObject(
  info: BaseInfo,
  backup: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const counted = (piece: Buffer): Buffer => {
    hash.update(piece);
    sizeBytes += piece.length;
    return piece;
  };
  const { clusterId, shardId, table, firstIndex, revision, timeMs, lastTimeMs } = info;
  const text = { format: FORMAT, clusterId, shardId, table, firstIndex, revision, timeMs, lastTimeMs };
  yield counted(Buffer.concat([STREAM_IDENTIFIER, jsonChunk(INFO_CHUNK, text)]));
  for await (const piece of backup) yield counted(piece);
  yield jsonChunk(END_CHUNK, { sizeBytes, sha256: hash.digest('hex') });
}

function jsonChunk(type: number, value: object): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const header = Buffer.alloc(CHUNK_HEADER_BYTES);
  header[0] = type;
  header.writeUIntLE(json.length, 1, 3);
  return Buffer.concat([header, json]);
}

/**
 * The properties that a base must turn out to have. `sha256` and `sizeBytes`, from the manifest or the listing, are
 * undefined when they are not known.
 */
export interface ExpectedBase {
  readonly name: string;
  readonly shard: { readonly clusterId: string; readonly shardId: number };
  readonly revision: number;
  readonly sha256?: string | undefined;
  readonly sizeBytes?: number | undefined;
}

/** Reads a base without trusting it. The content may be relied on only when `backup` has ended without an error. */
export class BaseObjectReader {
  readonly #expected: ExpectedBase;
  readonly #content: AsyncIterable<Buffer>;
  #info: BaseInfo | undefined;

  /** `content` is the content of the object, as `ObjectStore.get` yields it. */
  constructor(expected: ExpectedBase, content: AsyncIterable<Buffer>) {
    this.#expected = expected;
    this.#content = content;
  }

  /**
   * Reads only the description with which the base begins. Rejects with objectDamaged, and with the errors of the
   * content.
   */
  async readInfo(): Promise<BaseInfo> {
    for await (const _piece of this.backup()) break;
    if (!this.#info) throw this.#damaged('it does not say what it is a backup of');
    return this.#info;
  }

  /**
   * Yields the backup stream, in whole chunks. It does not decompress the blocks, and so does not check their own
   * checksums. Throws objectDamaged, and the errors of the content.
   */
  async *backup(): AsyncGenerator<Buffer, void, undefined> {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    let hashedBytes = 0;
    let rest: Buffer = Buffer.alloc(0);
    let hasEnded = false;
    for await (const piece of this.#content) {
      if (piece.length === 0) continue;
      if (hasEnded) throw this.#damaged('it goes on behind its end');
      sizeBytes += piece.length;
      const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      let at = 0;
      while (bytes.length - at >= CHUNK_HEADER_BYTES) {
        const length = bytes.readUIntLE(at + 1, 3);
        if (length > CHUNK_BYTES_MAX) throw this.#damaged('a chunk is larger than any can be');
        const end = at + CHUNK_HEADER_BYTES + length;
        if (end > bytes.length) break;
        if (bytes[at] === INFO_CHUNK) {
          this.#info = this.#parseInfo(bytes.subarray(at + CHUNK_HEADER_BYTES, end));
        }
        if (!this.#info && bytes[at] !== STREAM_IDENTIFIER[0]) {
          throw this.#damaged('it does not say what it is a backup of');
        }
        if (bytes[at] === END_CHUNK) {
          hash.update(bytes.subarray(0, at));
          hashedBytes += at;
          // The manifest's hash continues from this one, so that nothing is hashed twice.
          const sha256 = hash.copy().digest('hex');
          this.#checkEnd(bytes.subarray(at + CHUNK_HEADER_BYTES, end), hashedBytes, sha256);
          hash.update(bytes.subarray(at, end));
          if (end < bytes.length) throw this.#damaged('it goes on behind its end');
          hasEnded = true;
          break;
        }
        at = end;
      }
      // Nothing is yielded before it is known what this is a backup of.
      if (!this.#info) at = 0;
      const chunks = bytes.subarray(0, at);
      rest = bytes.subarray(at);
      if (chunks.length === 0) continue;
      if (!hasEnded) {
        hash.update(chunks);
        hashedBytes += chunks.length;
      }
      yield chunks;
    }
    if (!hasEnded) throw this.#damaged(`it breaks off after ${sizeBytes} bytes`);
    this.#checkManifest(sizeBytes, hash.digest('hex'));
  }

  #parseInfo(json: Buffer): BaseInfo {
    const info = this.#parse<BaseInfo & { readonly format: number }>(json);
    const { shard, revision } = this.#expected;
    if (info.format !== FORMAT) {
      throw this.#damaged(`its format is ${info.format}, and this version knows ${FORMAT}`);
    }
    if (info.clusterId !== shard.clusterId || info.shardId !== shard.shardId || info.revision !== revision) {
      throw this.#damaged(
        `it is a backup of shard ${info.shardId} of cluster ${info.clusterId} at revision ${info.revision}`,
      );
    }
    if (
      typeof info.table !== 'string' ||
      ![info.firstIndex, info.timeMs, info.lastTimeMs ?? 0].every(Number.isSafeInteger)
    ) {
      throw this.#damaged('what it says of itself lacks something');
    }
    return info as BaseInfo;
  }

  #checkEnd(json: Buffer, sizeBytes: number, sha256: string): void {
    const end = this.#parse<{ readonly sizeBytes: number; readonly sha256: string }>(json);
    if (end.sizeBytes !== sizeBytes) {
      throw this.#damaged(`it has ${sizeBytes} bytes, and its end says ${end.sizeBytes}`);
    }
    if (end.sha256 !== sha256) throw this.#damaged('its sha256 is not the one that its end says');
  }

  #checkManifest(sizeBytes: number, sha256: string): void {
    const expected = this.#expected;
    if (expected.sizeBytes !== undefined && sizeBytes !== expected.sizeBytes) {
      throw this.#damaged(`it has ${sizeBytes} bytes, and the manifest says ${expected.sizeBytes}`);
    }
    if (expected.sha256 !== undefined && sha256 !== expected.sha256) {
      throw this.#damaged("its sha256 is not the manifest's");
    }
  }

  #parse<T>(json: Buffer): Partial<T> {
    try {
      const value: unknown = JSON.parse(json.toString('utf8'));
      if (value !== null && typeof value === 'object') return value as Partial<T>;
    } catch (error) {
      throw this.#damaged('what it says of itself is no JSON', error);
    }
    throw this.#damaged('what it says of itself is no object');
  }

  #damaged(detail: string, cause?: unknown): Error {
    return archiveErrors.objectDamaged(this.#expected.name, detail, { cause });
  }
}
