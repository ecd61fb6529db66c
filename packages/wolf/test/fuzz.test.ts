import { strict as assert } from 'node:assert/strict';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  readAppendEntries,
  SnapshotAssembly,
  type WolfAppendEntries,
  WolfError,
  type WolfPayload,
  writeAppendEntries,
} from '../src/index.js';
import { mutatedTexts, texts } from './texts.js';
import { verdictOf } from './verdict.js';

/** Records as literals make them: with a prototype. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true });

const integer = fc.oneof(fc.nat(5), fc.maxSafeNat());
/** Any text that UTF-8 can carry: fast-check's `binary` unit holds no lone surrogates. */
const text = fc.string({ unit: 'binary' });
const membership = record({
  members: fc.uniqueArray(integer),
  membersAfterConsensus: fc.option(fc.uniqueArray(integer), { nil: undefined }),
});
const command = fc.option(
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  { nil: undefined },
);
const payload: fc.Arbitrary<WolfPayload> = fc.oneof(
  fc.constant({ type: 'blank' } as const),
  record({ client: text, serial: integer, status: text, command }).map(
    (data) => ({ type: 'normal', data }) as const,
  ),
  membership.map((of) => ({ type: 'configChange', membership: of }) as const),
  record({ id: text, membership }).map((of) => ({ type: 'snapshotPointer', ...of }) as const),
);
const request: fc.Arbitrary<WolfAppendEntries> = record({
  term: integer,
  leaderId: integer,
  prevLogIndex: integer,
  prevLogTerm: integer,
  entries: fc.array(record({ term: integer, index: integer, payload })),
  leaderCommit: integer,
});

test('what is written is read back, whatever it is', () => {
  fc.assert(
    fc.property(request, (sent) => {
      assert.deepEqual(readAppendEntries(writeAppendEntries(sent)), sent);
    }),
    { numRuns: 500 },
  );
});

test('a request is one line', () => {
  fc.assert(
    fc.property(request, (sent) => {
      expect(writeAppendEntries(sent)).not.toMatch(/[\n\r]/);
    }),
  );
});

test('whatever the text, the parsers give a value or the declared error', () => {
  // verdictOf throws any other error on.
  for (const mutated of mutatedTexts(5_000, 7)) verdictOf(mutated);
  fc.assert(
    fc.property(
      fc.constantFrom('append', 'snapshot', 'state'),
      fc.string({ unit: 'binary' }),
      (kind, random) => {
        verdictOf([kind, random]);
      },
    ),
    { numRuns: 2000 },
  );
});

test('whatever the chunks, the assembly gives a value or RAFT_INSTALL_SNAPSHOT_FAILED', () => {
  const documents = texts
    .filter(([kind]) => kind === 'snapshot')
    .map(([, document]) => Buffer.from(document));
  const step = record({
    document: fc.nat(documents.length - 1),
    from: fc.nat(120),
    length: fc.nat(120),
    offset: fc.oneof(fc.constant(undefined), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    done: fc.boolean(),
    leaderId: fc.bigInt({ min: 0n, max: 1n }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const assembly = new SnapshotAssembly({ documentBytesMax: 200 });
      for (const { document, from, length, offset, done, leaderId } of steps) {
        const data = documents[document]!.subarray(from, from + length);
        const place = { leaderId, term: 2n, lastIncludedIndex: 9n, lastIncludedTerm: 2n };
        try {
          assembly.accept({ ...place, offset: offset ?? BigInt(from), data, done });
        } catch (error) {
          if (!(error instanceof WolfError)) throw error;
        }
      }
    }),
    { numRuns: 1000 },
  );
});

/** A request whose unknown field is `value`. */
const withUnknown = (value: string) =>
  `{"extra":${value},"term":1,"leader_id":0,"prev_log_index":0,"prev_log_term":0,"entries":[],"leader_commit":0}`;

test('nesting needs no call stack, and long tokens no more than their length', () => {
  const million = 1_000_000;
  expect(readAppendEntries(withUnknown(`${'['.repeat(million)}${']'.repeat(million)}`)).term).toBe(1);
  expect(readAppendEntries(withUnknown(`${'{"a":'.repeat(million)}1${'}'.repeat(million)}`)).term).toBe(1);
  expect(readAppendEntries(withUnknown('1'.repeat(million))).term).toBe(1);
  expect(readAppendEntries(withUnknown(`"${'\\u0000'.repeat(million)}"`)).term).toBe(1);
  expect(readAppendEntries(withUnknown(`"${'x'.repeat(16 * million)}"`)).term).toBe(1);
  for (const open of ['[', '{"a":', '"\\u0000', '"', '-'])
    assert('refused' in verdictOf(['append', withUnknown(open.repeat(million))]));
  assert('refused' in verdictOf(['append', `{"term":${'9'.repeat(million)}`]));
  const long = 'é'.repeat(million);
  const client = `{"client":"${'\\n'.repeat(million)}","serial":1,"status":"${long}"}`;
  const sent = withUnknown('0').replace(
    '"entries":[]',
    `"entries":[{"term":1,"index":1,"payload":{"Normal":{"data":${client}}}}]`,
  );
  const [entry] = readAppendEntries(sent).entries;
  assert(entry?.payload.type === 'normal');
  expect([entry.payload.data.client.length, entry.payload.data.status.length]).toEqual([million, million]);
});

test('command is base64 and nothing else', () => {
  const withCommand = (command: string) =>
    withUnknown('0').replace(
      '"entries":[]',
      `"entries":[{"term":1,"index":1,"payload":{"Normal":{"data":{"client":"","serial":1,"status":"","command":${command}}}}}]`,
    );
  for (const command of ['""', '"AA=="', '"AAA="', '"AAAA"', '"+/+/"'])
    assert('printed' in verdictOf(['append', withCommand(command)]));
  for (const command of [
    '"A"',
    '"AA"',
    '"A==="',
    '"AA=A"',
    '"A A="',
    '"-_-_"',
    '"AA==AA=="',
    '7',
    'null',
    '{}',
  ])
    assert('refused' in verdictOf(['append', withCommand(command)]), command);
});
