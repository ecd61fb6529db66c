/** A read of one key, or of `[key, rangeEnd)`. */
export interface RangeQuery {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** 0 means no limit. */
  readonly limit?: number;
  readonly isLinearizable: boolean;
}

/** How a server wants to be asked: its methods and its messages. Both APIs descend from the same design. */
export interface Dialect {
  readonly rangePath: string;
  readonly putPath: string;
  encodeRange(query: RangeQuery): Uint8Array;
  encodePut(key: Buffer, value: Buffer): Uint8Array;
}
