import { regatta } from '@coxswain/protocol';
import type { Dialect } from './dialect.js';

/** Returns Regatta's API, which Coxswain serves, for a table. */
export function regattaDialectOf(name: string): Dialect {
  const table = Buffer.from(name);
  return {
    rangePath: '/regatta.v1.KV/Range',
    putPath: '/regatta.v1.KV/Put',
    encodeRange({
      key,
      rangeEnd,
      limit = 0,
      isLinearizable,
      countOnly = false,
      minModRevision = 0,
      revision = 0,
    }) {
      const request = regatta.RangeRequest.fromPartial({
        table,
        key,
        limit: BigInt(limit),
        linearizable: isLinearizable,
        countOnly,
        minModRevision: BigInt(minModRevision),
        revision: BigInt(revision),
        ...(rangeEnd === undefined ? {} : { rangeEnd }),
      });
      return regatta.RangeRequest.encode(request).finish();
    },
    encodePut(key, value) {
      return regatta.PutRequest.encode(regatta.PutRequest.fromPartial({ table, key, value })).finish();
    },
    decodeRange(answer) {
      const { header, kvs, count } = regatta.RangeResponse.decode(answer);
      return { revision: Number(header!.revision), pairCount: kvs.length, count: Number(count) };
    },
  };
}

/** Regatta's API for the table that every cluster has. */
export const regattaDialect = regattaDialectOf(tableNames(1)[0]!);

/** Returns the names of `count` tables for a benchmark. */
export function tableNames(count: number): string[] {
  return Array.from({ length: count }, (_, at) => (at === 0 ? 'default' : `bench-${at + 1}`));
}
