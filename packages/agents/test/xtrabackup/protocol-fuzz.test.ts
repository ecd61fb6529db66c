import { gunzipSync } from 'node:zlib';
import { systemClock } from '@coxswain/node';
import { MemoryNode } from '@coxswain/node/testing';
import { RateLimit } from '@coxswain/runtime';
import { until } from '@coxswain/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AgentRequest, readAgentRequest } from '../../src/xtrabackup/agent-request.js';
import { BackupAgent, defaultBackupAgentLimits } from '../../src/xtrabackup/backup-agent.js';
import { AgentRequestError, RequestParser } from '../../src/xtrabackup/key-value-block.js';
import { clusterMark, formatSessionId } from '../../src/xtrabackup/session-id.js';
import { answerOf, connect, decodeStream, parseAnswer, readTar, refusalOf } from '../support/agent-client.js';
import { MemoryFiles } from '../support/memory-files.js';

/** Inputs of each property. `npm run acceptance` asks for more than every run of the tests can afford. */
const runs = Number(process.env['COXSWAIN_FUZZ_RUNS'] ?? 500);
/** The most bytes that one input may leave on the heap, on average: nothing, and the cost of measuring. */
const LEFT_BYTES_MAX = 512;

const node = new MemoryNode();
const agent = new BackupAgent(node.parts, {
  ...defaultBackupAgentLimits,
  streamMsMin: 0,
  host: '127.0.0.1',
  port: 0,
  clock: systemClock,
  log: () => undefined,
  isPasswordRight: (password) => password === '',
  rate: new RateLimit(systemClock, 0),
  files: new MemoryFiles(),
});

beforeAll(async () => {
  await (await node.createTable('t')).put('key', 'value');
  await agent.listen();
});
afterAll(() => agent.close());

const FOREIGN_CLUSTER = '0011223344556677';
const NOTHING_IS_DUE = /^READY\n1\nstatus=OK\n\n$/;
const [sid, foreignSid] = [clusterMark('c1'), FOREIGN_CLUSTER].map(
  (cluster) => formatSessionId({ cluster, revisions: new Map([[10_001, 1]]) })!,
) as [string, string];
/** Any character but half a surrogate pair; fast-check's own 'binary' first makes a map of all the 1.1 million. */
const character = fc
  .integer({ min: 0, max: 0x10_f7ff })
  .map((at) => String.fromCodePoint(at < 0xd800 ? at : at + 0x800));
const encodings = ['x-uuencode-stream', 'x-base64-stream', 'octet-stream'].map(
  (name) => `application/${name}`,
);
const word = fc.oneof(
  fc.constantFrom('copy from', 'copy to', '0', '1', '', '/a/./b', '..', sid, foreignSid, 'cx1-AAAA'),
  fc.constantFrom('monitor', 'full', '/ZRM_LINKS/.', 'gzip -c', 'gzip', '57', '10240', '1000', ...encodings),
  fc.string({ unit: character, maxLength: 40 }),
);
const key = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('action', 'backup-level', 'replication', 'file', 'sid', 'user') },
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      'agent-stream-encoding',
      'agent-stream-block-size',
      'xtrabackup-agent:inline-compress',
      'binlog',
      'type',
      'newer_than',
      'max_items',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: character, maxLength: 20 }) },
);
const version = fc.oneof(
  { weight: 6, arbitrary: fc.constant('0.76.1') },
  { weight: 1, arbitrary: fc.string({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.tuple(fc.nat(2), fc.nat(80), fc.nat()).map((parts) => parts.join('.')) },
);

/** Nearly a request: whole, with something wrong, or cut off. */
const nearly = fc
  .record({
    version,
    action: fc.oneof(
      { weight: 6, arbitrary: fc.constant('copy from') },
      { weight: 1, arbitrary: fc.constant('monitor') },
    ),
    pairs: fc.array(fc.tuple(key, word), { maxLength: 8 }),
    wrongBy: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer() }),
    keptShare: fc.oneof(
      { weight: 6, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
    ),
    behind: fc.oneof(fc.constant(''), fc.string({ maxLength: 10 })),
  })
  .map(({ version: line, action, pairs, wrongBy, keptShare, behind }) => {
    const lines = [['action', action], ...pairs].map(([name, value]) => `${name}=${value}\n`).join('');
    const text = `${line}\n${pairs.length + 1 + wrongBy}\n${lines}\n${behind}`;
    return Buffer.from(text.slice(0, Math.ceil(text.length * keptShare)));
  });
const anything = fc.oneof(
  { weight: 4, arbitrary: nearly },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
);

test('whatever comes, in whatever pieces, is a request, the beginning of one, or refused', () => {
  const afterHalf = { heapBytes: 0, count: 0 };
  let count = 0;
  fc.assert(
    fc.property(anything, fc.integer({ min: 1, max: 64 }), (bytes, pieceBytes) => {
      const outcomes = [bytes.length, pieceBytes].map((length) => outcomeOf(bytes, length));
      // Where the input was cut makes no difference.
      expect(outcomes[1]).toEqual(outcomes[0]);
      if (++count === Math.ceil(runs / 2)) Object.assign(afterHalf, { heapBytes: settledHeapBytes(), count });
    }),
    { numRuns: runs },
  );
  const leftBytes = settledHeapBytes() - afterHalf.heapBytes;
  if (canCollect && count > 5000) expect(leftBytes / (count - afterHalf.count)).toBeLessThan(LEFT_BYTES_MAX);
});

/** Only acceptance gives the garbage collector into the test's hands. */
const canCollect = typeof globalThis.gc === 'function';

function settledHeapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** Returns the request, or the text of its refusal. */
function outcomeOf(bytes: Buffer, pieceBytes: number): AgentRequest | string {
  const parser = new RequestParser();
  try {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const pairs = parser.push(bytes.subarray(at, at + pieceBytes));
      if (pairs !== undefined) return readAgentRequest(pairs, { isPasswordRight: () => true });
    }
    return `the request is not whole: it ends before ${parser.missing}`;
  } catch (error) {
    if (error instanceof AgentRequestError) return error.message;
    throw error;
  }
}

test('whoever connects gets one whole answer, and nothing of him is left', async () => {
  await fc.assert(
    fc.asyncProperty(anything, fc.boolean(), async (bytes, isCut) => {
      const socket = await connect(agent.address.port);
      const answer = answerOf(socket);
      if (isCut) socket.write(bytes.subarray(0, bytes.length / 2));
      socket.end(bytes.subarray(isCut ? bytes.length / 2 : 0));
      const { bytes: answered, isEnded } = await answer;
      expect(isEnded).toBe(true);
      const request = outcomeOf(bytes, bytes.length);
      if (typeof request === 'string') {
        expect(answered.toString()).toBe(refusalOf(request));
      } else if (request.action !== 'copy from') {
        expect(answered.toString()).toMatch(request.action === 'nothing' ? NOTHING_IS_DUE : /^READY\n/);
      } else if (request.since?.cluster === FOREIGN_CLUSTER) {
        expect(answered.toString()).toMatch(
          /^2\nstatus=FAILED\nmsg=the sid is of a backup of another cluster/,
        );
      } else if (!NOTHING_IS_DUE.test(answered.toString())) {
        const { block, tar } = parseAnswer(answered);
        expect(block['status']).toBe('SENDING');
        const decoded = decodeStream(tar, request.encoding.name);
        expect((await readTar(request.isGzipped ? gunzipSync(decoded) : decoded)).size).toBe(2);
      }
    }),
    { numRuns: Math.ceil(runs / 10) },
  );
  await until('every connection is closed', () => agent.status.connections === 0);
  const { running, failed, done, refused } = agent.status;
  expect([running, failed]).toEqual([0, 0]);
  expect(done + refused).toBe(Math.ceil(runs / 10));
  expect(node.tables.get('t')!.viewCount).toBe(0);
});
