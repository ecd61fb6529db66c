import { mvcc } from '@coxswain/protocol';
import { SnapshotDamagedError, SnapshotRecords } from '@coxswain/stream';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FoldedLog } from '../src/folded-log.js';
import type { ArchivedEntry } from '../src/log-object.js';

const { PUT, DELETE, PUT_BATCH, DELETE_BATCH, SEQUENCE, TXN, DUMMY } = mvcc.Command_CommandType;

type Fields = Parameters<typeof mvcc.Command.fromPartial>[0];
/** A table as text: its keys and values. */
type Content = Map<string, string>;

const put = (key: string, value: string): Fields => ({
  type: PUT,
  kv: { key: Buffer.from(key), value: Buffer.from(value) },
});
const deletion = (key: string): Fields => ({ type: DELETE, kv: { key: Buffer.from(key) } });
const rangeDeletion = (key: string, end: string): Fields => ({
  ...deletion(key),
  rangeEnd: Buffer.from(end),
});
const batch = (type: mvcc.Command_CommandType, pairs: readonly (readonly [string, string])[]): Fields => ({
  type,
  batch: pairs.map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value) })),
});
const transaction = (pairs: readonly (readonly [string, string | undefined])[]): Fields => ({
  type: TXN,
  txn: {
    success: pairs.map(([key, value]) => ({
      request:
        value === undefined
          ? { $case: 'requestDeleteRange', value: { key: Buffer.from(key) } }
          : { $case: 'requestPut', value: { key: Buffer.from(key), value: Buffer.from(value) } },
    })),
  },
});

/** Does to `content` what the command does to a table. */
function run(content: Content, { type, kv, rangeEnd, batch: pairs, sequence, txn }: mvcc.Command): void {
  const key = kv?.key.toString() ?? '';
  if (type === PUT) content.set(key, kv!.value.toString());
  else if (type === PUT_BATCH)
    for (const pair of pairs) content.set(pair.key.toString(), pair.value.toString());
  else if (type === DELETE_BATCH) for (const pair of pairs) content.delete(pair.key.toString());
  else if (type === SEQUENCE) for (const inner of sequence) run(content, inner);
  else if (type === TXN) {
    for (const { request } of txn!.success) {
      if (request?.$case === 'requestPut')
        content.set(request.value.key.toString(), request.value.value.toString());
      else if (request?.$case === 'requestDeleteRange') content.delete(request.value.key.toString());
    }
  } else if (type === DELETE && rangeEnd === undefined) content.delete(key);
  else if (type === DELETE) {
    for (const held of [...content.keys()])
      if (held >= key && held < rangeEnd!.toString()) content.delete(held);
  }
}

const encoded = (fields: Fields): Buffer =>
  Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(fields)).finish());

function logOf(commands: readonly Fields[]): ArchivedEntry[] {
  return commands.map((fields, place) => ({
    index: place + 1,
    term: 1,
    timeMs: 1,
    command: encoded(fields),
  }));
}

/** Hands entries on some at a time, as an object of the archive does. */
async function* someAtATime(entries: readonly ArchivedEntry[]): AsyncGenerator<ArchivedEntry[]> {
  for (let at = 0; at < entries.length; at += 3) yield entries.slice(at, at + 3);
}

/** The records of a base, some at a time: each pair `times` times, and a DUMMY at the end. */
async function* baseOf(
  content: Content,
  times: number,
  atATime: number,
): AsyncGenerator<SnapshotRecords, void> {
  const commands = [...content]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => put(key, value));
  const repeated = [
    ...commands.flatMap((command) => Array<Fields>(times).fill(command)),
    { type: DUMMY, leaderIndex: 9n },
  ];
  for (let at = 0; at < repeated.length; at += atATime) yield recordsOf(repeated.slice(at, at + atATime));
}

function recordsOf(commands: readonly Fields[]): SnapshotRecords {
  const parts: Buffer[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  let at = 0;
  for (const command of commands.map(encoded)) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(command.length));
    parts.push(length, command);
    starts.push(at + 8);
    at += 8 + command.length;
    ends.push(at);
  }
  return new SnapshotRecords(Buffer.concat(parts), starts, ends);
}

async function mergedPairs(
  folded: FoldedLog,
  base: AsyncIterable<SnapshotRecords>,
): Promise<[string, string][]> {
  const pairs: [string, string][] = [];
  for await (const records of folded.mergedInto(base)) {
    for (const [place, record] of [...records].entries()) {
      const start = records.starts[place]!;
      expect(records.bytes.readBigUInt64LE(start - 8)).toBe(BigInt(record.length));
      const { type, kv } = mvcc.Command.decode(record);
      if (type !== PUT) continue;
      const pair: [string, string] = [kv!.key.toString(), kv!.value.toString()];
      // What comes twice in a row is loaded once, as it came first.
      if (pairs.at(-1)?.[0] !== pair[0]) pairs.push(pair);
    }
  }
  return pairs;
}

const anyKey = fc.constantFrom('a', 'aa', 'b', 'c', 'd', 'e', '\u00ff', 'é');
const anyValue = fc.string({ maxLength: 4 });
const anyPairs = fc.array(fc.tuple(anyKey, anyValue), { maxLength: 4 });
const anyWrite = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(anyKey, anyValue).map(([key, value]) => put(key, value)) },
  { weight: 2, arbitrary: anyKey.map(deletion) },
  anyPairs.map((pairs) => batch(PUT_BATCH, pairs)),
  anyPairs.map((pairs) => batch(DELETE_BATCH, pairs)),
  fc.array(fc.tuple(anyKey, fc.option(anyValue, { nil: undefined })), { maxLength: 4 }).map(transaction),
);
const anyCommand = fc.oneof(
  { weight: 8, arbitrary: anyWrite },
  {
    weight: 1,
    arbitrary: fc.array(anyWrite, { maxLength: 3 }).map((sequence) => ({ type: SEQUENCE, sequence })),
  },
  { weight: 1, arbitrary: fc.tuple(anyKey, anyKey).map(([key, end]) => rangeDeletion(key, end)) },
);

describe('a folded log', () => {
  test('makes with the rest of the log the same table as the log applied to the base, whatever is folded', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(anyKey, anyValue), { maxLength: 8 }),
        fc.array(anyCommand, { maxLength: 20 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.record({ times: fc.integer({ min: 1, max: 2 }), atATime: fc.integer({ min: 1, max: 5 }) }),
        async (pairs, commands, bytesMax, { times, atATime }) => {
          const base: Content = new Map(pairs);
          const log = logOf(commands);
          const expected: Content = new Map(base);
          for (const { command } of log) run(expected, mvcc.Command.decode(command));

          const folded = new FoldedLog(bytesMax);
          const isWhole = await folded.fold(someAtATime(log));
          const merged = await mergedPairs(folded, baseOf(base, times, atATime));
          expect(merged.map(([key]) => key)).toEqual(
            merged
              .map(([key]) => key)
              .sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right))),
          );
          const restored: Content = new Map(merged);
          if (isWhole) expect(folded.lastIndex).toBe(log.length);
          for (const { command } of log.slice(folded.lastIndex)) run(restored, mvcc.Command.decode(command));
          expect(new Map([...restored].sort())).toEqual(new Map([...expected].sort()));
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each([
    ['a deletion of a range', rangeDeletion('a', 'c')],
    [
      'a transaction that compares',
      { type: TXN, txn: { compare: [{ key: Buffer.from('a') }], success: [], failure: [] } } satisfies Fields,
    ],
    ['a write of an empty key', put('', 'value')],
    ['a command of an unknown type', { type: 99 as mvcc.Command_CommandType } satisfies Fields],
    [
      'a sequence with one of them',
      { type: SEQUENCE, sequence: [put('d', '2'), rangeDeletion('a', 'c')] } satisfies Fields,
    ],
  ])('ends before %s, and takes nothing of it', async (_name, command) => {
    const folded = new FoldedLog();
    expect(await folded.fold(someAtATime(logOf([put('d', '1'), command, put('d', '3')])))).toBe(false);
    expect(folded.lastIndex).toBe(1);
    expect(await mergedPairs(folded, baseOf(new Map(), 1, 1))).toEqual([['d', '1']]);
  });

  test('ends where a command cannot be read', async () => {
    const folded = new FoldedLog();
    const [first] = logOf([put('a', '1')]);
    const damaged = { ...first!, index: 2, command: Buffer.from([0xff]) };
    expect(await folded.fold(someAtATime([first!, damaged]))).toBe(false);
    expect(folded.lastIndex).toBe(1);
  });

  test('keeps no more than its limit and one entry, however often a key is written', async () => {
    const folded = new FoldedLog(1_000);
    const same = Array.from({ length: 500 }, (_, turn) => put('counter', String(turn)));
    expect(await folded.fold(someAtATime(logOf(same)))).toBe(true);
    const different = Array.from({ length: 500 }, (_, turn) => put(`key-${turn}`, 'x'.repeat(100)));
    const limited = new FoldedLog(1_000);
    expect(await limited.fold(someAtATime(logOf(different)))).toBe(false);
    // 207 bytes each: five of them are the first to reach 1,000.
    expect(limited.lastIndex).toBe(5);
  });

  test.each([
    ['that is neither a pair nor the end', [deletion('a')]],
    ['after the end', [{ type: DUMMY } satisfies Fields, put('a', '1')]],
  ])('refuses a base with a record %s', async (_name, commands) => {
    const folded = new FoldedLog();
    await folded.fold(someAtATime(logOf([put('b', '1')])));
    const base = (async function* () {
      yield recordsOf(commands);
    })();
    await expect(mergedPairs(folded, base)).rejects.toBeInstanceOf(SnapshotDamagedError);
  });
});
