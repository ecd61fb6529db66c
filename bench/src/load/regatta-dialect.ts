import { regatta } from '@coxswain/protocol';
import type { Dialect } from './dialect.js';

const table = Buffer.from('default');

/** Regatta's API, which Coxswain serves, on the table that every cluster has. */
export const regattaDialect: Dialect = {
  rangePath: '/regatta.v1.KV/Range',
  putPath: '/regatta.v1.KV/Put',
  encodeRange({ key, rangeEnd, limit = 0, isLinearizable }) {
    const request = regatta.RangeRequest.fromPartial({
      table,
      key,
      limit: BigInt(limit),
      linearizable: isLinearizable,
      ...(rangeEnd === undefined ? {} : { rangeEnd }),
    });
    return regatta.RangeRequest.encode(request).finish();
  },
  encodePut(key, value) {
    return regatta.PutRequest.encode(regatta.PutRequest.fromPartial({ table, key, value })).finish();
  },
};
