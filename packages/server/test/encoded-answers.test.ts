import { regatta } from '@coxswain/protocol';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodePut, encodeRange } from '../src/grpc/encoded-answers.js';

test('an encoded answer is the one that the generated code makes', () => {
  const number = fc.oneof(fc.nat(300), fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }).map(Number));
  const header = fc.record({
    shardId: number,
    replicaId: number,
    revision: number,
    raftTerm: number,
    raftLeaderId: number,
  });
  const pair = fc.record({ key: fc.string(), value: fc.string({ maxLength: 300 }), revision: fc.nat() });
  fc.assert(
    fc.property(header, fc.array(pair, { maxLength: 3 }), fc.boolean(), number, (ids, pairs, more, count) => {
      const kvs = pairs.map(({ key, value, revision }) => ({
        key: Buffer.from(key),
        value: Buffer.from(value),
        createRevision: BigInt(revision),
        modRevision: BigInt(revision),
        version: 1n,
      }));
      const nothing = { header: undefined, more: false, count: 0n };
      const encoded = Buffer.from(regatta.RangeResponse.encode({ ...nothing, kvs }).finish());
      const copyTo = (target: Buffer, at: number): void => target.set(encoded, at);
      const message = encodeRange(ids, {
        revision: ids.revision,
        count,
        more,
        sizeBytes: encoded.length,
        copyTo,
      });
      const expected = {
        header: {
          shardId: BigInt(ids.shardId),
          replicaId: BigInt(ids.replicaId),
          revision: BigInt(ids.revision),
          raftTerm: BigInt(ids.raftTerm),
          raftLeaderId: BigInt(ids.raftLeaderId),
        },
        kvs,
        more,
        count: BigInt(count),
      };
      expect(regatta.RangeResponse.decode(message)).toEqual(
        regatta.RangeResponse.decode(regatta.RangeResponse.encode(expected).finish()),
      );
      // No byte more than the generated code needs: fields that are 0 are left out.
      expect(message.length).toBe(regatta.RangeResponse.encode(expected).finish().length);
      const put = regatta.PutResponse.encode({ header: expected.header, prevKv: undefined }).finish();
      expect(encodePut(ids).equals(put)).toBe(true);
    }),
  );
});
