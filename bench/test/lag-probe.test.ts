import { regatta } from '@coxswain/protocol';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { afterEach, expect, test } from '@jest/globals';
import { LagProbe } from '../src/load/lag-probe.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.forceShutdown();
});

const LAG_MS = 30;

/**
 * For each write that was seen, how long after its acknowledgement the read came that followed the one that showed it: by
 * then the probe had seen it, however busy the machine is.
 */
let seenWithinMs: number[];

/** A leader and a follower cluster in one: reads show a write `lagMs` after it was acknowledged. */
async function serve(lagMs: number): Promise<string> {
  let revision = 0;
  let visibleRevision = 0;
  let shownRevision = 0;
  const acknowledgedAtMs: number[] = [];
  seenWithinMs = [];
  const headerOf = (value: number) => regatta.ResponseHeader.create({ revision: BigInt(value) });
  const server = new Server();
  servers.push(server);
  const { put, range } = regatta.KVService;
  server.addService(
    { put, range },
    {
      put(
        _: ServerUnaryCall<regatta.PutRequest, regatta.PutResponse>,
        callback: sendUnaryData<regatta.PutResponse>,
      ) {
        const made = ++revision;
        setTimeout(() => {
          visibleRevision = made;
        }, lagMs);
        acknowledgedAtMs[made] = performance.now();
        callback(null, regatta.PutResponse.create({ header: headerOf(made) }));
      },
      range(
        _: ServerUnaryCall<regatta.RangeRequest, regatta.RangeResponse>,
        callback: sendUnaryData<regatta.RangeResponse>,
      ) {
        const atMs = performance.now();
        for (let seen = seenWithinMs.length + 1; seen <= shownRevision; seen++)
          seenWithinMs.push(atMs - acknowledgedAtMs[seen]!);
        shownRevision = visibleRevision;
        callback(null, regatta.RangeResponse.create({ header: headerOf(visibleRevision) }));
      },
    },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(error);
      else resolve(`127.0.0.1:${port}`);
    });
  });
}

test('the lag probe tells how long after its acknowledgement each write is visible', async () => {
  const address = await serve(LAG_MS);
  const { putCount, p50Ms } = await new LagProbe({
    leader: address,
    follower: address,
    putsPerSecond: 200,
    warmUpMs: 50,
    durationMs: 2_000,
    keyCount: 100,
    valueSizeBytes: 16,
  }).run();
  expect(putCount).toBeGreaterThan(20);
  expect(p50Ms).toBeGreaterThan(LAG_MS - 5);
  const middleMs = seenWithinMs.toSorted((a, b) => a - b)[seenWithinMs.length >> 1]!;
  // Its percentiles are exact to some per cent, and it leaves out the first writes.
  expect(p50Ms).toBeLessThan(middleMs * 1.25);
});
