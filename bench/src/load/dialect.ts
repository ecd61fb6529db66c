/** A read of one key, or of `[key, rangeEnd)`. */
export interface RangeQuery {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** The most keys to return; 0 means no limit. */
  readonly limit?: number;
  readonly isLinearizable: boolean;
  /** True asks only for the number of keys. */
  readonly countOnly?: boolean;
  /** The least revision of a record's last write; 0 means any. */
  readonly minModRevision?: number;
  /** The revision as of which to read; 0 means the latest. */
  readonly revision?: number;
}

/** The answer to a read. */
interface RangeAnswer {
  readonly revision: number;
  readonly pairCount: number;
  /** The server's count; etcd's counts all keys of the range. */
  readonly count: number;
}

/** The methods and messages of a server. Both APIs descend from the same design. */
export interface Dialect {
  readonly rangePath: string;
  readonly putPath: string;
  encodeRange(query: RangeQuery): Uint8Array;
  encodePut(key: Buffer, value: Buffer): Uint8Array;
  decodeRange(answer: Buffer): RangeAnswer;
}
