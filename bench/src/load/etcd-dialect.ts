import type { Dialect } from './dialect.js';

/** Field numbers of etcd's public API, `etcdserverpb/rpc.proto`. */
const RangeField = { key: 1, rangeEnd: 2, limit: 3, serializable: 7 } as const;
const PutField = { key: 1, value: 2 } as const;

/** etcd's API, as far as the workloads need it; four fields do not justify generated code. */
export const etcdDialect: Dialect = {
  rangePath: '/etcdserverpb.KV/Range',
  putPath: '/etcdserverpb.KV/Put',
  encodeRange({ key, rangeEnd, limit = 0, isLinearizable }) {
    return Buffer.concat([
      bytesField(RangeField.key, key),
      rangeEnd === undefined ? Buffer.alloc(0) : bytesField(RangeField.rangeEnd, rangeEnd),
      limit === 0 ? Buffer.alloc(0) : integerField(RangeField.limit, limit),
      isLinearizable ? Buffer.alloc(0) : integerField(RangeField.serializable, 1),
    ]);
  },
  encodePut(key, value) {
    return Buffer.concat([bytesField(PutField.key, key), bytesField(PutField.value, value)]);
  },
};

function bytesField(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2]), encodeVarint(bytes.length), bytes]);
}

function integerField(field: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([field << 3]), encodeVarint(value)]);
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
