import { regatta } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import type { GrpcRequest } from '../src/http2/grpc-request.js';
import { etcdDialect } from '../src/load/etcd-dialect.js';
import { encodeKey } from '../src/load/key-space.js';
import { regattaDialect } from '../src/load/regatta-dialect.js';
import { createRequestSource } from '../src/load/workload.js';

const settings = { keyCount: 200, valueSizeBytes: 252, answersHoldData: true };

/** The message in the request's DATA frame, which comes after its HEADERS frame. */
function messageOf(request: GrpcRequest): Buffer {
  const frames = Buffer.alloc(request.sizeBytes);
  request.writeTo(frames, 0, 1);
  const dataFrame = frames.subarray(9 + frames.readUIntBE(0, 3));
  return dataFrame.subarray(9 + 5);
}

describe('a workload', () => {
  test('fills with every key once, in order, and values that differ', () => {
    const next = createRequestSource({ ...settings, workload: 'fill' }, regattaDialect);
    const puts = Array.from({ length: 200 }, () => regatta.PutRequest.decode(Buffer.from(messageOf(next()))));
    expect(puts.map((put) => put.key.toString())).toEqual(
      Array.from({ length: 200 }, (_, index) => encodeKey(index).toString()),
    );
    // Values are random cuts out of 1 MiB: once in a while two are the same.
    expect(new Set(puts.map((put) => put.value.toString('hex'))).size).toBeGreaterThan(190);
    expect(puts.every((put) => put.value.length === 252 && put.table.toString() === 'default')).toBe(true);
  });

  test('asks for exactly 100 keys that exist', () => {
    const next = createRequestSource({ ...settings, workload: 'range-100' }, regattaDialect);
    for (let repetition = 0; repetition < 1000; repetition++) {
      const range = regatta.RangeRequest.decode(messageOf(next()));
      const first = Number(range.key.toString().slice('key-'.length));
      const end = Number(range.rangeEnd.toString().slice('key-'.length));
      expect(end - first).toBe(100);
      expect(end).toBeLessThanOrEqual(200);
      expect(range.limit).toBe(100n);
      expect(range.linearizable).toBe(false);
    }
  });

  test.each(['read-linearizable', 'read-serializable'] as const)('asks for what %s says', (workload) => {
    const next = createRequestSource({ ...settings, workload }, regattaDialect);
    const range = regatta.RangeRequest.decode(messageOf(next()));
    expect(range.linearizable).toBe(workload === 'read-linearizable');
    expect(range.rangeEnd.length).toBe(0);
    expect(next().responseSizeBytesMin).toBeGreaterThan(252);
  });

  test('mixes four reads with one put', () => {
    const next = createRequestSource({ ...settings, workload: 'mixed' }, regattaDialect);
    const requests = Array.from({ length: 10_000 }, next);
    const putCount = requests.filter((request) => messageOf(request).length > 252).length;
    expect(putCount).toBeGreaterThan(1_700);
    expect(putCount).toBeLessThan(2_300);
  });
});

describe('the etcd dialect', () => {
  test('encodes reads as etcdserverpb.RangeRequest', () => {
    const key = Buffer.from('a');
    const rangeEnd = Buffer.from('b');
    expect(Buffer.from(etcdDialect.encodeRange({ key, isLinearizable: true })).toString('hex')).toBe(
      '0a0161',
    );
    expect(
      Buffer.from(etcdDialect.encodeRange({ key, rangeEnd, limit: 100, isLinearizable: false })).toString(
        'hex',
      ),
    ).toBe('0a0161120162' + '1864' + '3801');
  });

  test('encodes writes as etcdserverpb.PutRequest', () => {
    const value = Buffer.alloc(300, 0x76);
    const message = Buffer.from(etcdDialect.encodePut(Buffer.from('a'), value)).toString('hex');
    expect(message).toBe(`0a016112ac02${'76'.repeat(300)}`);
  });
});
