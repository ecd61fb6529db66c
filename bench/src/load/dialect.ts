/** A read of one key, or of `[key, rangeEnd)`. */
export interface RangeQuery {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** 0 means no limit. */
  readonly limit?: number;
  readonly isLinearizable: boolean;
  /** Only how many there are. */
  readonly countOnly?: boolean;
  /** No record that was written last before this revision. 0 means any. */
  readonly minModRevision?: number;
  /** As it was at an earlier revision. 0 means the latest. */
  readonly revision?: number;
}

/** What a read was answered. */
interface RangeAnswer {
  readonly revision: number;
  readonly pairCount: number;
  /** As the server says it: of etcd's all that the range has. */
  readonly count: number;
}

/** How a server wants to be asked: its methods and its messages. Both APIs descend from the same design. */
export interface Dialect {
  readonly rangePath: string;
  readonly putPath: string;
  encodeRange(query: RangeQuery): Uint8Array;
  encodePut(key: Buffer, value: Buffer): Uint8Array;
  decodeRange(answer: Buffer): RangeAnswer;
}
