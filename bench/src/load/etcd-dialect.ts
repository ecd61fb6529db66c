import type { Dialect } from './dialect.js';

/** Field numbers of etcd's public API, `etcdserverpb/rpc.proto`. */
const RangeField = {
  key: 1,
  rangeEnd: 2,
  limit: 3,
  revision: 4,
  serializable: 7,
  countOnly: 9,
  minModRevision: 10,
} as const;
const AnswerField = { header: 1, pair: 2, count: 4 } as const;
const HeaderField = { revision: 3 } as const;
const PutField = { key: 1, value: 2 } as const;

/** etcd's API, as far as the workloads need it; so few fields do not justify generated code. */
export const etcdDialect: Dialect = {
  rangePath: '/etcdserverpb.KV/Range',
  putPath: '/etcdserverpb.KV/Put',
  encodeRange({
    key,
    rangeEnd,
    limit = 0,
    isLinearizable,
    countOnly = false,
    minModRevision = 0,
    revision = 0,
  }) {
    return Buffer.concat([
      bytesField(RangeField.key, key),
      rangeEnd === undefined ? Buffer.alloc(0) : bytesField(RangeField.rangeEnd, rangeEnd),
      limit === 0 ? Buffer.alloc(0) : integerField(RangeField.limit, limit),
      revision === 0 ? Buffer.alloc(0) : integerField(RangeField.revision, revision),
      isLinearizable ? Buffer.alloc(0) : integerField(RangeField.serializable, 1),
      countOnly ? integerField(RangeField.countOnly, 1) : Buffer.alloc(0),
      minModRevision === 0 ? Buffer.alloc(0) : integerField(RangeField.minModRevision, minModRevision),
    ]);
  },
  encodePut(key, value) {
    return Buffer.concat([bytesField(PutField.key, key), bytesField(PutField.value, value)]);
  },
  decodeRange(answer) {
    let pairCount = 0;
    let count = 0;
    let revision = 0;
    for (const { field, integer, bytes } of readFields(answer)) {
      if (field === AnswerField.pair) pairCount += 1;
      else if (field === AnswerField.count) count = integer;
      else if (field === AnswerField.header)
        revision = [...readFields(bytes)].find((of) => of.field === HeaderField.revision)?.integer ?? 0;
    }
    return { revision, pairCount, count };
  },
};

const NO_BYTES = Buffer.alloc(0);

/** Yields the fields of a message that has only integers and bytes. */
function* readFields(message: Buffer): Generator<{ field: number; integer: number; bytes: Buffer }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = message[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const number = varint();
    const hasBytes = (tag & 7) === 2;
    const bytes = hasBytes ? message.subarray(at, at + number) : NO_BYTES;
    at += bytes.length;
    yield { field: tag >>> 3, integer: number, bytes };
  }
}

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
