import type { Clock } from '@coxswain/runtime';
import { describe, expect, test } from '@jest/globals';
import type { PeerTransport, SmallFiles } from '../src/api/environment.js';
import { Admission } from '../src/cluster/admission.js';
import type { FrameHeader } from '../src/cluster/frame.js';
import { Identity } from '../src/cluster/identity.js';
import { Peers } from '../src/cluster/peers.js';

const boots = { 2: '22'.repeat(8), 3: '33'.repeat(8) };

/** The admission of node 1 of three, whose peers are this test. `stored` resolves when all that it stores is durable. */
async function admission() {
  let stored: Promise<void> = Promise.resolve();
  const files: SmallFiles = {
    descriptors: async () => ({ inUse: 0, max: Number.POSITIVE_INFINITY }),
    read: async () => undefined,
    replace: () => {
      stored = new Promise((resolve) => setImmediate(resolve));
      return stored;
    },
  };
  let drawn = 0;
  const random = { next: () => 0, bytes: (lengthBytes: number) => Buffer.alloc(lengthBytes, ++drawn) };
  const identity = await Identity.load(files, 1, random);
  await identity.beginStart({ boot: '11'.repeat(8), from: 0 });
  const log = () => undefined;
  const peers = new Peers({
    identity,
    transport: { send: () => true } as unknown as PeerTransport,
    ids: [2, 3],
    log,
    metaApplied: () => 0,
    position: () => 0,
    isAdmitted: () => false,
    wallMs: () => 0,
    observe: () => true,
    nowMs: () => 0,
  });
  const work: Promise<unknown>[] = [];
  const subject = new Admission({
    identity,
    peers,
    files,
    clock: { nowMs: () => 0, monotonicMs: () => 0 } as Clock,
    log,
    records: [],
    patienceMs: 1000,
    onAdmitted: () => undefined,
    onRefused: (error) => {
      throw error;
    },
    run: (running) => work.push(running),
  });
  const settled = async () => {
    await Promise.all(work);
    await stored;
  };
  return { admission: subject, settled };
}

/** The header of a frame of a member whose start takes part. */
const header = (from: 2 | 3): FrameHeader => ({
  clusterId: '00'.repeat(16),
  from,
  incarnation: '00'.repeat(8),
  boot: boots[from],
  metaApplied: 0,
  position: 0,
  timeMs: 0,
  isAdmitted: true,
});

describe('what a node keeps of its members (T4)', () => {
  test('a start that it heard of from another member counts as soon as it is stored, whoever had it stored', async () => {
    const node = await admission();
    node.admission.onRecords(2, [{ member: 3, number: 1, boot: boots[3], position: 0, tookPart: true }]);
    expect(node.admission.observe(header(3))).toBe(false);
    // Before the tick that would have had it stored: the answer to an introduction has everything stored.
    node.admission.onIntroduce(header(2), { type: 'introduce', number: 1, judged: undefined });
    await node.settled();
    expect(node.admission.observe(header(3))).toBe(true);
  });
});
