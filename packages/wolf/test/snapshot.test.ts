import { strict as assert } from 'node:assert/strict';
import { wolfRaft } from '@coxswain/protocol';
import { loadSnapshot, MemoryStoreDirectory, Table, writeSnapshot } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  SnapshotAssembly,
  type SnapshotChunk,
  snapshotChunks,
  tableSnapshotOf,
  WolfError,
} from '../src/index.js';

const membership = { members: [0, 1, 2], membersAfterConsensus: undefined };
const head = { index: 9, term: 2, membership };
const place = { leaderId: 1n, term: 3n, lastIncludedIndex: 9n, lastIncludedTerm: 2n };

async function* of(...pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

async function chunksOf(state: Buffer, chunkBytes?: number, pieceBytes = 1000): Promise<SnapshotChunk[]> {
  const pieces: Buffer[] = [];
  for (let at = 0; at < state.length; at += pieceBytes) pieces.push(state.subarray(at, at + pieceBytes));
  const chunks: SnapshotChunk[] = [];
  for await (const chunk of snapshotChunks(head, of(...pieces), chunkBytes)) chunks.push(chunk);
  return chunks;
}

const assembly = (documentBytesMax = 1 << 30) => new SnapshotAssembly({ documentBytesMax });

const accept = (
  to: SnapshotAssembly,
  { offset, data, done }: SnapshotChunk,
  other: Partial<typeof place> = {},
) => to.accept({ ...place, ...other, offset: BigInt(offset), data, done });

/** The refusal's text. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert(error instanceof WolfError);
    assert.equal(error.code, wolfRaft.ErrorCode.RAFT_INSTALL_SNAPSHOT_FAILED);
    return error.message;
  }
  return assert.fail('it was taken');
}

describe('the document', () => {
  test('is what serde_json prints of a MemStoreSnapshot', async () => {
    const [chunk] = await chunksOf(Buffer.from([0, 9, 10, 99, 100, 255]));
    assert.deepEqual(chunk, {
      offset: 0,
      data: Buffer.from(
        '{"index":9,"term":2,"membership":{"members":[0,1,2],"members_after_consensus":null},"data":[0,9,10,99,100,255]}',
      ),
      done: true,
    });
  });

  test('comes back as it was, whatever the state and the sizes of chunks and pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 500 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 99 }),
        async (bytes, chunkBytes, pieceBytes) => {
          const state = Buffer.from(bytes);
          const to = assembly();
          const chunks = await chunksOf(state, chunkBytes, pieceBytes);
          const pieces = chunks.map((chunk) => accept(to, chunk));
          assert.deepEqual(Buffer.concat(pieces.map(({ data }) => data)), state);
          assert.deepEqual(
            pieces.map(({ document }) => document !== undefined),
            chunks.map(({ done }) => done),
          );
          assert.deepEqual(pieces.at(-1)!.document, head);
          assert.deepEqual(
            pieces.map(({ isFirst }) => isFirst),
            chunks.map(({ offset }) => offset === 0),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test('is written and read without being held: ten megabytes of state in chunks of the default size', async () => {
    const state = Buffer.alloc(10_000_000, 0xc8);
    const to = assembly();
    let readBytes = 0;
    let largest = 0;
    for await (const chunk of snapshotChunks(head, of(state))) {
      largest = Math.max(largest, chunk.data.length);
      readBytes += accept(to, chunk).data.length;
    }
    expect(readBytes).toBe(state.length);
    expect(largest).toBe(1024 * 1024);
  });

  test('comes in chunks of just the size that is asked for, wherever a number or the end falls', async () => {
    const whole = Buffer.concat((await chunksOf(Buffer.from([0, 10, 200]))).map(({ data }) => data));
    for (let size = 1; size <= whole.length + 1; size++) {
      const chunks = await chunksOf(Buffer.from([0, 10, 200]), size, 2);
      expect(Buffer.concat(chunks.map(({ data }) => data)).equals(whole)).toBe(true);
      for (const { offset, data, done } of chunks) {
        expect([data.length, done]).toEqual([
          Math.min(size, whole.length - offset),
          offset + data.length === whole.length,
        ]);
      }
    }
  });
});

describe('the chunks', () => {
  test('a gap and an overlap are refused, and the transfer goes on where it was', async () => {
    const chunks = await chunksOf(Buffer.alloc(300, 7), 100);
    const to = assembly();
    accept(to, chunks[0]!);
    expect(refusal(() => accept(to, chunks[2]!))).toContain(`begins at ${chunks[1]!.offset}`);
    const overlap = { ...chunks[1]!, offset: chunks[1]!.offset - 1 };
    expect(refusal(() => accept(to, overlap))).toContain(`begins at ${chunks[1]!.offset}`);
    for (const chunk of chunks.slice(1)) accept(to, chunk);
  });

  test('the same chunk again is a repeat that brings nothing, also the last one', async () => {
    const state = Buffer.alloc(300, 7);
    const to = assembly();
    const pieces: Buffer[] = [];
    for (const chunk of await chunksOf(state, 100)) {
      pieces.push(accept(to, chunk).data);
      const again = accept(to, chunk);
      expect([again.isRepeat, again.isFirst, again.data.length]).toEqual([true, false, 0]);
      expect(again.document !== undefined).toBe(chunk.done);
    }
    assert.deepEqual(Buffer.concat(pieces), state);
  });

  test('as a real leader sends them: the last one is empty', async () => {
    const to = assembly();
    const [whole] = await chunksOf(Buffer.from('abc'));
    assert.deepEqual(accept(to, { ...whole!, done: false }).data, Buffer.from('abc'));
    const last = { offset: whole!.data.length, data: Buffer.alloc(0), done: true };
    assert.deepEqual(accept(to, last).document, head);
    expect(accept(to, last).isRepeat).toBe(true);
  });

  test('offset 0 begins anew, also of another leader’s snapshot, and what came before counts no more', async () => {
    const chunks = await chunksOf(Buffer.alloc(300, 7), 100);
    const to = assembly();
    accept(to, chunks[0]!);
    accept(to, chunks[1]!);
    for (const chunk of chunks) {
      const piece = accept(to, chunk, { term: 4n });
      expect(piece.isFirst).toBe(chunk.offset === 0);
    }
    expect(refusal(() => accept(to, chunks[1]!))).toContain('begin at offset 0');
  });

  test('a transfer that is not on its way, or that was forgotten, is refused', async () => {
    const chunks = await chunksOf(Buffer.alloc(300, 7), 100);
    const to = assembly();
    refusal(() => accept(to, chunks[1]!));
    accept(to, chunks[0]!);
    refusal(() => accept(to, chunks[1]!, { leaderId: 2n }));
    to.reset();
    refusal(() => accept(to, chunks[1]!));
  });

  test('more bytes than are allowed are refused before they are read', async () => {
    const to = assembly(150);
    const [first, second] = await chunksOf(Buffer.alloc(300, 7), 100);
    accept(to, first!);
    expect(refusal(() => accept(to, second!))).toContain('larger than 150 bytes');
    refusal(() => accept(to, second!));
  });

  test('another index or term than the call names is refused', async () => {
    const [whole] = await chunksOf(Buffer.from('abc'));
    expect(refusal(() => accept(assembly(), whole!, { lastIncludedIndex: 8n }))).toContain('another index');
    expect(refusal(() => accept(assembly(), whole!, { lastIncludedTerm: 1n }))).toContain('another index');
  });

  test('what is no snapshot is refused, and so is one that has much beside its data', () => {
    const sent = (text: string) => () =>
      accept(assembly(), { offset: 0, data: Buffer.from(text), done: true });
    expect(refusal(sent('{"index":9}'))).toContain('not the JSON');
    expect(refusal(sent(`{"index":9,"extra":"${'x'.repeat(70_000)}"`))).toContain('64 KiB');
    expect(refusal(sent('[9,2,[[0],null],[1,2'))).toContain('does not end');
  });
});

const group = { group: 1001, index: 9, term: 2 };

async function tableOf(state: AsyncIterable<Buffer>): Promise<Table> {
  const directory = new MemoryStoreDirectory();
  const loaded = await loadSnapshot(directory, 'incoming', tableSnapshotOf(state, group));
  assert.deepEqual([loaded.group, loaded.index, loaded.term], [1001, 9, 2]);
  return await Table.open({
    directory,
    name: 'incoming',
    create: false,
    initialIndex: 0,
    writeBufferSizeBytes: 1 << 20,
  });
}

const refusedState = async (state: string): Promise<string> => {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of tableSnapshotOf(of(Buffer.from(state)), group)) pieces.push(piece);
  } catch (error) {
    assert(error instanceof WolfError);
    return error.message;
  }
  return assert.fail('it was taken');
};

describe('the state', () => {
  test('a memstore’s becomes a table with its statuses and serials', async () => {
    const statuses = Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [`client-${i}`, `${'é'.repeat(50)}${i}`]),
    );
    const serials = Object.fromEntries(Object.keys(statuses).map((client, i) => [client, [i, null]]));
    const json = JSON.stringify({
      last_applied_log: 9,
      client_serial_responses: serials,
      client_status: statuses,
    });
    const bytes = Buffer.from(json);
    const table = await tableOf(of(bytes.subarray(0, 1), Buffer.alloc(0), bytes.subarray(1)));
    for (const i of [0, 1, 1500, 2999]) {
      const { record } = table.get(Buffer.from(`client-${i}`));
      assert.deepEqual(
        [record?.value.toString(), record?.modRevision, record?.version],
        [statuses[`client-${i}`], 9, 1],
      );
      const serial = table.get(Buffer.concat([Buffer.from([0xff, 0x73]), Buffer.from(`client-${i}`)]));
      expect(serial.record?.value.toString()).toBe(`${i}`);
    }
    expect(table.appliedIndex).toBe(9);
    await table.close();
  });

  test('an empty memstore becomes an empty table', async () => {
    const table = await tableOf(
      of(Buffer.from('{"last_applied_log":9,"client_serial_responses":{},"client_status":{}}')),
    );
    expect(table.appliedIndex).toBe(9);
    await table.close();
  });

  test('a table’s own stream goes through as it is', async () => {
    const first = await tableOf(
      of(
        Buffer.from(
          '{"last_applied_log":9,"client_serial_responses":{"c":[1,null]},"client_status":{"c":"s"}}',
        ),
      ),
    );
    const view = first.view();
    const table = await tableOf(writeSnapshot(view, { preamble: 1001 }));
    expect(table.get(Buffer.from('c')).record?.value.toString()).toBe('s');
    view.close();
    await first.close();
    await table.close();
  });

  test('anything else is refused, without a word of what it holds', async () => {
    expect(await refusedState('')).toContain('neither');
    expect(await refusedState('secret')).not.toContain('secret');
    expect(await refusedState('{"client_status":{"secret":1}}')).not.toContain('secret');
    const tooLarge = async function* () {
      for (let i = 0; i < 65; i++) yield Buffer.alloc(1024 * 1024, 0x20);
    };
    await expect(tableOf(tooLarge())).rejects.toThrow('at most 64 MiB');
  });
});
