import { ApiError, type Header, type NodeParts, type ShardLoad, Status, systemClock } from '@coxswain/node';
import { maintenance, mvcc, replication } from '@coxswain/protocol';
import { RateLimit } from '@coxswain/runtime';
import { compressToFrames, readSnapshotRecords, STREAM_IDENTIFIER } from '@coxswain/stream';
import { CommandKind, MemoryStoreDirectory, Table, writeSnapshot } from '@coxswain/table';
import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Restores } from '../src/restore.js';
import { type RestoreCall, Restorer } from '../src/restorer.js';

/** Inputs. `npm run acceptance` asks for more than every run of the tests can afford. */
const runs = Number(process.env['COXSWAIN_FUZZ_RUNS'] ?? 300);
/** What one input may leave behind on the heap, on average: nothing, and what measuring it costs. */
const LEFT_BYTES_MAX = 512;
/** Statuses that the errors of an upload have. */
const REFUSALS: readonly Status[] = [Status.InvalidArgument];
const { PUT, DELETE, DUMMY, PUT_BATCH, DELETE_BATCH, TXN, SEQUENCE } = mvcc.Command_CommandType;

/** A shard as a node fills it, in a table of its own: what apply cannot stand breaks it here as well (A3). */
class MemoryLoad implements ShardLoad {
  readonly shardId = 10_001;
  ending: 'switched' | 'abandoned' | undefined;
  readonly table: Table;
  #index = 0;
  #isFinished = false;

  constructor(table: Table) {
    this.table = table;
  }

  async load(records: readonly Buffer[]): Promise<void> {
    expect(this.#isFinished).toBe(false);
    await this.#apply(CommandKind.Load, Buffer.concat([Buffer.of(1), ...records]));
  }

  async finish(end: Parameters<ShardLoad['finish']>[0]): Promise<void> {
    await this.#apply(CommandKind.Loaded, Buffer.alloc(9));
    expect(this.table.keyCount).toBe(end.keyCount);
    this.#isFinished = true;
  }

  async replay(commands: readonly mvcc.Command[]): Promise<void> {
    expect(this.#isFinished).toBe(true);
    const sequence = commands.map((command) => ({ ...command, leaderIndex: undefined }));
    const command = mvcc.Command.fromPartial({ type: SEQUENCE, sequence });
    await this.#apply(CommandKind.Command, Buffer.from(mvcc.Command.encode(command).finish()));
  }

  header(): Header {
    return { shardId: this.shardId, revision: this.table.revision } as Header;
  }

  get keyCount(): number {
    return this.table.keyCount!;
  }

  switch(): Promise<boolean> {
    expect([this.#isFinished, this.ending]).toEqual([true, undefined]);
    this.ending = 'switched';
    return Promise.resolve(true);
  }

  abandon(): Promise<void> {
    expect(this.ending).toBeUndefined();
    this.ending = 'abandoned';
    return Promise.resolve();
  }

  async #apply(kind: CommandKind, payload: Buffer): Promise<void> {
    const index = ++this.#index;
    await this.table.apply([
      { index, term: 1, timeMs: index, kind, payload, cursor: undefined, wantsResult: false },
    ]);
  }
}

/** Of the restore that is under way. */
const last: { load: MemoryLoad | undefined } = { load: undefined };
const node = {
  role: 'leader' as const,
  async beginRestore(): Promise<ShardLoad> {
    const table = await Table.open({
      directory: new MemoryStoreDirectory(),
      name: '10001',
      create: true,
      initialIndex: 0,
      writeBufferSizeBytes: 1 << 22,
    });
    const load = new MemoryLoad(table);
    last.load = load;
    return load;
  },
};
const begun = (): MemoryLoad | undefined => last.load;
const nodeParts = { cluster: node, maintenance: node } as unknown as Pick<
  NodeParts,
  'cluster' | 'maintenance'
>;
const restorer = new Restorer(nodeParts, { clock: systemClock, log: () => undefined });
const restores = new Restores(nodeParts, restorer, {
  rate: new RateLimit(systemClock, 0),
  callsMax: 1,
});

// ---- streams

const bytes = fc.uint8Array({ maxLength: 6 }).map((some) => Buffer.from(some));
const key = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('a', 'b', 'c').map(Buffer.from) },
  { weight: 2, arbitrary: bytes },
);
const revision = fc.oneof(
  { weight: 100, arbitrary: fc.constantFrom(0n, 1n, 7n) },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
);
const pair = fc
  .record({ key, value: bytes, createRevision: revision, modRevision: revision, version: revision })
  .map((some) => mvcc.KeyValue.fromPartial(some));
const optional = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(some, { nil: undefined });

/** Nearly always a number that is known. */
const enumerated = (max: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 40, arbitrary: fc.nat(max) }, { weight: 1, arbitrary: fc.integer({ min: -1, max: 9 }) });

const compare = fc
  .record({
    key,
    rangeEnd: bytes,
    result: enumerated(3),
    target: enumerated(3),
    targetUnion: fc.oneof(
      fc.constant(undefined),
      bytes.map((value) => ({ $case: 'value' as const, value })),
      revision.map((value) => ({ $case: 'version' as const, value })),
    ),
  })
  .map((some) => mvcc.Compare.fromPartial(some as Partial<mvcc.Compare>));
const operation = fc
  .oneof(
    fc.constant(undefined),
    fc
      .record({ key, value: bytes, prevKv: fc.boolean() })
      .map((value) => ({ $case: 'requestPut' as const, value })),
    fc
      .record({ key, rangeEnd: bytes, limit: revision, countOnly: fc.boolean() })
      .map((value) => ({ $case: 'requestRange' as const, value })),
    fc
      .record({ key, rangeEnd: bytes, prevKv: fc.boolean(), count: fc.boolean() })
      .map((value) => ({ $case: 'requestDeleteRange' as const, value })),
  )
  .map((request) => mvcc.RequestOp.fromPartial({ request } as Partial<mvcc.RequestOp>));
const few = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(some, { maxLength: 3 });
const txn = fc
  .record({ compare: few(compare), success: few(operation), failure: few(operation) })
  .map((some) => mvcc.Txn.fromPartial(some));

const plainCommand = fc
  .record({
    type: fc.oneof(
      { weight: 40, arbitrary: fc.constantFrom(PUT, DELETE, DUMMY, PUT_BATCH, DELETE_BATCH, TXN) },
      { weight: 1, arbitrary: fc.integer({ min: -1, max: 9 }) },
    ),
    table: bytes,
    kv: fc.option(pair, { nil: undefined, freq: 20 }),
    batch: few(pair),
    txn: optional(txn),
    rangeEnd: optional(bytes),
    prevKvs: fc.boolean(),
    count: fc.boolean(),
    leaderIndex: optional(revision.map((value) => BigInt.asUintN(64, value))),
  })
  .map((some) => mvcc.Command.fromPartial(some as Partial<mvcc.Command>));
const command = fc.oneof(
  { weight: 5, arbitrary: plainCommand },
  {
    weight: 1,
    arbitrary: few(plainCommand).map((sequence) => mvcc.Command.fromPartial({ type: SEQUENCE, sequence })),
  },
);
const put = pair.map((kv) => mvcc.Command.fromPartial({ type: PUT, kv }));

function marshal(some: mvcc.Command): Buffer {
  const record = Buffer.from(mvcc.Command.encode(some).finish());
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(record.length));
  return Buffer.concat([length, record]);
}

function streamOf(commands: readonly mvcc.Command[]): Buffer {
  return Buffer.concat([STREAM_IDENTIFIER, compressToFrames(Buffer.concat(commands.map(marshal)))]);
}

function sorted(commands: mvcc.Command[]): mvcc.Command[] {
  return [...commands].sort((a, b) => Buffer.compare(a.kv!.key, b.kv!.key));
}

const damage = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }) },
);

function damaged(data: Buffer, changes: readonly (readonly [number, number])[]): Buffer {
  const copy = Buffer.from(data);
  if (copy.length > 0) for (const [at, value] of changes) copy[at % copy.length] = value;
  return copy;
}

/** Nearly what a backup is: pairs, and commands behind a DUMMY, with something wrong inside or outside of the frames. */
const nearly = fc
  .record({
    pairs: fc.array(put, { maxLength: 8 }),
    isSorted: fc.oneof(
      { weight: 5, arbitrary: fc.constant(true) },
      { weight: 1, arbitrary: fc.constant(false) },
    ),
    hasDummy: fc.boolean(),
    commands: fc.array(command, { maxLength: 5 }),
    inside: damage,
    outside: damage,
    keptShare: fc.oneof(
      { weight: 6, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
    ),
  })
  .map(({ pairs, isSorted, hasDummy, commands, inside, outside, keptShare }) => {
    const behind = hasDummy ? [mvcc.Command.fromPartial({ type: DUMMY }), ...commands] : [];
    const records = [...(isSorted ? sorted(pairs) : pairs), ...behind];
    const plain = damaged(Buffer.concat(records.map(marshal)), inside);
    const stream = damaged(Buffer.concat([STREAM_IDENTIFIER, compressToFrames(plain)]), outside);
    return stream.subarray(0, Math.ceil(stream.length * keptShare));
  });
const stream = fc.oneof(
  { weight: 6, arbitrary: nearly },
  { weight: 1, arbitrary: fc.tuple(nearly, nearly).map(Buffer.concat) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((some) => Buffer.from(some)) },
);

const info: maintenance.RestoreMessage = {
  data: { $case: 'info', value: maintenance.RestoreInfo.fromPartial({ table: Buffer.from('t') }) },
};
const chunkOf = (data: Buffer): maintenance.RestoreMessage => ({
  data: { $case: 'chunk', value: replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) }) },
});

/** A message too many, somewhere. */
const disturbance = fc.oneof(
  { weight: 8, arbitrary: fc.constant(undefined) },
  {
    weight: 1,
    arbitrary: fc.record({
      at: fc.nat(3),
      message: fc.constantFrom<maintenance.RestoreMessage>(
        info,
        { data: undefined },
        chunkOf(Buffer.alloc(0)),
      ),
    }),
  },
);

// ---- what must hold

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** What the table holds then; undefined: it was refused. Where several things are wrong any of them may be told. */
async function outcomeOf(
  messages: readonly maintenance.RestoreMessage[],
): Promise<readonly string[] | undefined> {
  return outcomeOfRestore((call) => restores.restore(each(messages), call));
}

/** As `outcomeOf`, of any way to restore. */
async function outcomeOfRestore(
  restore: (call: RestoreCall) => Promise<{ readonly keyCount: bigint | number }>,
): Promise<readonly string[] | undefined> {
  last.load = undefined;
  const call = { deadlineMs: systemClock.monotonicMs() + 600_000, signal: new AbortController().signal };
  let outcome: readonly string[] | undefined;
  try {
    const { keyCount } = await restore(call);
    const load = begun();
    const content = await contentOf(load!.table);
    expect(content).toHaveLength(Number(keyCount));
    expect(load!.ending).toBe('switched');
    outcome = content;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    expect(REFUSALS).toContain(error.status);
    expect(begun()?.ending ?? 'abandoned').toBe('abandoned');
  }
  await begun()?.table.close();
  return outcome;
}

async function contentOf(table: Table): Promise<string[]> {
  const found: string[] = [];
  const view = table.view();
  for await (const records of readSnapshotRecords(writeSnapshot(view, {}))) {
    for (const record of records) {
      const { kv } = mvcc.Command.decode(record);
      found.push(`${kv!.key.toString('hex')}=${kv!.value.toString('hex')}/${kv!.version}`);
    }
  }
  view.close();
  return found;
}

function piecesOf(data: Buffer, pieceBytes: number): maintenance.RestoreMessage[] {
  const pieces: maintenance.RestoreMessage[] = [];
  for (let at = 0; at < data.length; at += pieceBytes)
    pieces.push(chunkOf(data.subarray(at, at + pieceBytes)));
  return pieces;
}

/** Only acceptance gives the garbage collector into the test's hands. */
const canCollect = typeof globalThis.gc === 'function';

function settledHeapBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

const outcomes = { restored: 0, refused: 0 };

test('whatever is uploaded, in whatever pieces, is restored as a whole or refused, and nothing of it is left', async () => {
  const afterHalf = { heapBytes: 0, count: 0 };
  let count = 0;
  await fc.assert(
    fc.asyncProperty(
      stream,
      fc.integer({ min: 1, max: 64 }),
      disturbance,
      async (data, pieceBytes, disturbed) => {
        const messages = [info, ...piecesOf(data, pieceBytes)];
        if (disturbed === undefined) {
          const outcome = await outcomeOf(messages);
          outcomes[outcome === undefined ? 'refused' : 'restored']++;
          // Where it was cut says nothing.
          expect(await outcomeOf([info, ...piecesOf(data, data.length)])).toEqual(outcome);
        } else {
          messages.splice(disturbed.at, 0, disturbed.message);
          await outcomeOf(messages);
        }
        expect(restores.counters.underWay).toBe(0);
        if (++count === Math.ceil(runs / 2))
          Object.assign(afterHalf, { heapBytes: settledHeapBytes(), count });
      },
    ),
    { numRuns: runs },
  );
  const leftBytes = settledHeapBytes() - afterHalf.heapBytes;
  if (canCollect && count > 5000) expect(leftBytes / (count - afterHalf.count)).toBeLessThan(LEFT_BYTES_MAX);
});

const parts = fc.record({
  pairs: fc.array(put, { maxLength: 5 }).map(sorted),
  commands: fc.array(command, { maxLength: 8 }),
  batchSize: fc.integer({ min: 1, max: 4 }),
});

test('commands that come beside the records make the same table as in one stream, behind the pairs and a DUMMY', async () => {
  await fc.assert(
    fc.asyncProperty(parts, async ({ pairs, commands, batchSize }) => {
      const end = mvcc.Command.fromPartial({ type: DUMMY });
      const whole = streamOf([...pairs, end, ...commands]);
      const expected = await outcomeOf([info, chunkOf(whole)]);
      const marshalled = commands.map((some) => Buffer.from(mvcc.Command.encode(some).finish()));
      const batches: Buffer[][] = [];
      while (marshalled.length > 0) batches.push(marshalled.splice(0, batchSize));
      const outcome = await outcomeOfRestore((call) =>
        restorer.restore(
          't',
          { records: readSnapshotRecords(each([streamOf(pairs)])), commands: each(batches) },
          call,
        ),
      );
      expect(outcome).toEqual(expected);
    }),
    { numRuns: runs },
  );
});

afterAll(() => {
  // Inputs that are all refused would say little.
  expect(outcomes.restored).toBeGreaterThan(runs / 10);
  expect(outcomes.refused).toBeGreaterThan(runs / 10);
});
