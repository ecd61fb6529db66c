import { mvcc } from '@coxswain/protocol';
import type { KeyPlace } from './key-place.js';
import { SnapshotDamagedError } from './snapshot-damaged-error.js';

/** The highest revision or version that is accepted. Above it there is room for the bases of later shards (T1). */
export const REVISION_MAX = 2 ** 52;
/**
 * The most bytes of a key and value together: as many as a follower takes of a log at a time (P4). Regatta checks
 * neither in a Txn, so a table that replicates from it may hold keys and values that no Put could write. Its snapshots
 * and backups must load.
 */
const PAIR_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** Tags of mvcc.v1.Command and of the KeyValue in it: field number and wire type. */
const TABLE = (1 << 3) | 2;
const TYPE = 2 << 3;
const KV = (3 << 3) | 2;
const KEY = (1 << 3) | 2;
const CREATE_REVISION = 2 << 3;
const MOD_REVISION = 3 << 3;
const VALUE = (4 << 3) | 2;
const VERSION = 100 << 3;
const EMPTY = Buffer.alloc(0);
/** A position beyond the end of every buffer that records come in. */
const BEYOND = 0x7fff_ffff;

/**
 * The pair of a record of a snapshot stream: the places of its key and value, and its revisions. One object serves for
 * record after record: there are millions, and an object or a Buffer for each would cost more than reading them.
 */
export class PairRecord implements KeyPlace {
  bytes: Buffer = EMPTY;
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  createRevision = 0;
  modRevision = 0;
  version = 0;
  /** The position to read from next; beyond the end when a field did not fit. */
  #at = 0;

  /** The key, which shares the record's memory. */
  get key(): Buffer {
    return this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  /** The value, which shares the record's memory. */
  get value(): Buffer {
    return this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  /**
   * Reads a marshalled mvcc.v1.Command at `bytes[start…end)` that is a PUT of one pair. Returns false for any other
   * command, and for an unusual encoding: the caller then decodes the record with the generated code and passes the
   * pair to `assign`. Until then this object holds nothing useful.
   */
  read(bytes: Buffer, start: number, end: number): boolean {
    this.bytes = bytes;
    this.#at = start;
    let hasPair = false;
    while (this.#at < end) {
      switch (this.#varint(end)) {
        case TABLE: {
          const length = this.#varint(end);
          this.#at += length;
          break;
        }
        case TYPE:
          if (this.#varint(end) !== mvcc.Command_CommandType.PUT) return false;
          break;
        case KV: {
          if (hasPair) return false;
          const length = this.#varint(end);
          const pairEnd = this.#at + length;
          if (pairEnd > end || !this.#readPair(pairEnd)) return false;
          hasPair = true;
          break;
        }
        default:
          return false;
      }
    }
    return hasPair && this.#at === end;
  }

  assign({ key, value, createRevision, modRevision, version }: mvcc.KeyValue): void {
    this.bytes = Buffer.concat([key, value]);
    this.keyStart = 0;
    this.keyEnd = key.length;
    this.valueStart = key.length;
    this.valueEnd = this.bytes.length;
    this.createRevision = Number(createRevision);
    this.modRevision = Number(modRevision);
    this.version = Number(version);
  }

  /**
   * Throws SnapshotDamagedError for a pair that no table can hold. Foreign data must be checked before it is proposed,
   * since apply refuses nothing (A3).
   */
  check(): void {
    if (this.keyEnd - this.keyStart + this.valueEnd - this.valueStart > PAIR_SIZE_BYTES_MAX)
      throw new SnapshotDamagedError('a pair is larger than any that a log can carry');
    if (!isRevision(this.createRevision) || !isRevision(this.modRevision) || !isRevision(this.version))
      throw new SnapshotDamagedError('a revision or version is out of range');
  }

  #readPair(end: number): boolean {
    this.keyStart = this.keyEnd = this.valueStart = this.valueEnd = 0;
    this.createRevision = this.modRevision = this.version = 0;
    while (this.#at < end) {
      switch (this.#varint(end)) {
        case KEY: {
          const length = this.#varint(end);
          this.keyStart = this.#at;
          this.keyEnd = this.#at += length;
          break;
        }
        case VALUE: {
          const length = this.#varint(end);
          this.valueStart = this.#at;
          this.valueEnd = this.#at += length;
          break;
        }
        case CREATE_REVISION:
          this.createRevision = this.#varint(end);
          break;
        case MOD_REVISION:
          this.modRevision = this.#varint(end);
          break;
        case VERSION:
          this.version = this.#varint(end);
          break;
        default:
          return false;
      }
    }
    return this.#at === end;
  }

  /** Reads a varint of up to 2^53-1. After a larger or truncated one, nothing more can be read. */
  #varint(end: number): number {
    const { bytes } = this;
    let value = 0;
    let weight = 1;
    while (this.#at < end) {
      const byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      weight *= 0x80;
    }
    this.#at = BEYOND;
    return 0;
  }
}

function isRevision(value: number): boolean {
  return value >= 0 && value <= REVISION_MAX;
}
