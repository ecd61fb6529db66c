import { regatta } from '@coxswain/protocol';
import type { Dialect } from './dialect.js';

const table = Buffer.from('default');

/** Regatta's API, which Coxswain serves, on the table that every cluster has. */
export const regattaDialect: Dialect = {
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
