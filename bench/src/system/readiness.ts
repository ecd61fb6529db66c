import { setTimeout as sleep } from 'node:timers/promises';
import { callOnce } from '../http2/call-once.js';
import { GrpcRequest } from '../http2/grpc-request.js';
import type { Dialect } from '../load/dialect.js';
import { encodeKey } from '../load/key-space.js';

const READY_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 200;

/**
 * Waits until every endpoint answers a linearizable read, which takes a leader and a quorum.
 *
 * @param assertRunning throws when there is nothing left to wait for.
 * @throws Error after a minute, with the last failure.
 */
export async function waitUntilReady(
  name: string,
  endpoints: readonly string[],
  dialect: Dialect,
  assertRunning: () => void,
): Promise<void> {
  const message = dialect.encodeRange({ key: encodeKey(0), isLinearizable: true });
  const request = new GrpcRequest({ path: dialect.rangePath, authority: 'localhost', message });
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  for (const endpoint of endpoints) {
    for (;;) {
      const failure = await callOnce(endpoint, request);
      assertRunning();
      if (failure === undefined) break;
      if (performance.now() > deadlineMs) throw new Error(`${name} is not ready at ${endpoint}: ${failure}`);
      await sleep(POLL_INTERVAL_MS);
    }
  }
}
