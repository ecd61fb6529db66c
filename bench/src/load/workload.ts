import { randomBytes } from 'node:crypto';
import { GrpcRequest } from '../http2/grpc-request.js';
import type { Dialect, RangeQuery } from './dialect.js';
import { encodeKey, KEY_SIZE_BYTES, writeKeyIndex } from './key-space.js';

export const WORKLOADS = {
  put: 'puts of random values to uniformly random keys',
  'read-linearizable': 'linearizable reads of one uniformly random key',
  'read-serializable': 'serializable reads of one uniformly random key, on whichever node is asked',
  'range-100': 'serializable reads of 100 neighbouring keys from a uniformly random one',
  mixed: '80 % linearizable reads and 20 % puts of one uniformly random key',
} as const;

export type WorkloadName = keyof typeof WORKLOADS;

export function isWriting(workload: WorkloadName): boolean {
  return workload === 'put' || workload === 'mixed';
}

/** The number of keys that a range read returns. */
export const RANGE_KEY_COUNT = 100;
const MIXED_READ_SHARE = 0.8;
/** Values are cut out of this many random bytes, so that no server's compression can shrink them. */
const RANDOM_POOL_SIZE_BYTES = 1024 * 1024;

export interface WorkloadSpecification {
  /** The workload; `fill` puts every key once, in order. */
  readonly workload: WorkloadName | 'fill';
  /** The number of keys, at least RANGE_KEY_COUNT. */
  readonly keyCount: number;
  readonly valueSizeBytes: number;
  /** True when answers hold data, so that an answer's length is checked; false for the ceilings. */
  readonly answersHoldData: boolean;
}

let randomPool: Buffer | undefined;

/** Returns the request of the next call. */
export type RequestSource = () => GrpcRequest;

/** The value is not used, but HTTP/2 requests should have one. */
const AUTHORITY = 'localhost';

/** Makes the source of a workload's requests. */
export function createRequestSource(specification: WorkloadSpecification, dialect: Dialect): RequestSource {
  const { workload, keyCount, valueSizeBytes, answersHoldData } = specification;

  function randomKey(): number {
    return Math.floor(Math.random() * keyCount);
  }

  function put(nextKey: () => number): GrpcRequest {
    randomPool ??= randomBytes(RANDOM_POOL_SIZE_BYTES);
    const pool = randomPool;
    const value = Buffer.alloc(valueSizeBytes, 0xff);
    const message = Buffer.from(dialect.encodePut(KEY_MARK, value));
    const keyOffset = message.indexOf(KEY_MARK);
    const valueOffset = message.indexOf(value);
    return new GrpcRequest({
      path: dialect.putPath,
      authority: AUTHORITY,
      message,
      fill(target, offset) {
        writeKeyIndex(target, offset + keyOffset, nextKey());
        const cut = Math.floor(Math.random() * (RANDOM_POOL_SIZE_BYTES - valueSizeBytes));
        pool.copy(target, offset + valueOffset, cut, cut + valueSizeBytes);
      },
    });
  }

  function read(isLinearizable: boolean): GrpcRequest {
    const message = Buffer.from(dialect.encodeRange({ key: KEY_MARK, isLinearizable }));
    const keyOffset = message.indexOf(KEY_MARK);
    return new GrpcRequest({
      path: dialect.rangePath,
      authority: AUTHORITY,
      message,
      responseSizeBytesMin: answersHoldData ? KEY_SIZE_BYTES + valueSizeBytes : 0,
      fill: (target, offset) => writeKeyIndex(target, offset + keyOffset, randomKey()),
    });
  }

  function range(): GrpcRequest {
    const query: RangeQuery = {
      key: KEY_MARK,
      rangeEnd: RANGE_END_MARK,
      limit: RANGE_KEY_COUNT,
      isLinearizable: false,
    };
    const message = Buffer.from(dialect.encodeRange(query));
    const keyOffset = message.indexOf(KEY_MARK);
    const rangeEndOffset = message.indexOf(RANGE_END_MARK);
    return new GrpcRequest({
      path: dialect.rangePath,
      authority: AUTHORITY,
      message,
      responseSizeBytesMin: answersHoldData ? RANGE_KEY_COUNT * (KEY_SIZE_BYTES + valueSizeBytes) : 0,
      fill(target, offset) {
        const first = Math.floor(Math.random() * (keyCount - RANGE_KEY_COUNT + 1));
        writeKeyIndex(target, offset + keyOffset, first);
        writeKeyIndex(target, offset + rangeEndOffset, first + RANGE_KEY_COUNT);
      },
    });
  }

  switch (workload) {
    case 'fill': {
      let next = 0;
      return always(put(() => next++ % keyCount));
    }
    case 'put':
      return always(put(randomKey));
    case 'read-linearizable':
      return always(read(true));
    case 'read-serializable':
      return always(read(false));
    case 'range-100':
      return always(range());
    case 'mixed': {
      const reading = read(true);
      const putting = put(randomKey);
      return () => (Math.random() < MIXED_READ_SHARE ? reading : putting);
    }
  }
}

/** Keys that stand in a message for those that differ between calls; no key space reaches their indices. */
const KEY_MARK = encodeKey(9_999_999_998);
const RANGE_END_MARK = encodeKey(9_999_999_999);

function always(request: GrpcRequest): RequestSource {
  return () => request;
}
