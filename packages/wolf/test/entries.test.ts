import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { EntryType } from '@coxswain/raft';
import { CommandKind, MemoryStoreDirectory, openEnvelope, sealEnvelope, Table } from '@coxswain/table';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  configChangeData,
  readAppendEntries,
  toNodeId,
  toRaftEntry,
  toWolfEntry,
  toWolfId,
  type WolfEntry,
  writeAppendEntries,
} from '../src/index.js';

const text = fc.string({ unit: 'binary' });

const normal = (client: string, serial: number, status: string, index = 1): WolfEntry => ({
  index,
  term: 1,
  payload: { type: 'normal', data: { client, serial, status, command: undefined } },
});

test('an entry of three fields, a Blank and a ConfigChange come back as they were', () => {
  fc.assert(
    fc.property(text, fc.maxSafeNat(), text, (client, serial, status) => {
      const entry = normal(client, serial, status);
      assert.deepEqual(toWolfEntry(toRaftEntry(entry)), entry);
    }),
  );
  const blank: WolfEntry = { index: 3, term: 2, payload: { type: 'blank' } };
  assert.deepEqual(toRaftEntry(blank), { index: 3, term: 2, type: EntryType.Empty, data: Buffer.alloc(0) });
  assert.deepEqual(toWolfEntry(toRaftEntry(blank)), blank);
  const membership = { members: [2, 0, 1], membersAfterConsensus: [0] };
  const change: WolfEntry = { index: 3, term: 2, payload: { type: 'configChange', membership } };
  assert.deepEqual(toWolfEntry(toRaftEntry(change)), change);
  assert.deepEqual(toRaftEntry(change).data, configChangeData(membership));
});

test('an entry of ours travels byte for byte, whatever it holds', () => {
  const data = fc.uint8Array({ minLength: 26 }).map((bytes) => Buffer.from(bytes));
  // Nobody's, by chance or by ill will.
  const anonymous = data.map((bytes) =>
    Buffer.concat([bytes.subarray(0, 1), Buffer.alloc(25), bytes.subarray(26)]),
  );
  fc.assert(
    fc.property(fc.oneof(data, anonymous), fc.nat(), (bytes, index) => {
      const entry = { index, term: 1, type: EntryType.Normal, data: bytes };
      const head = { term: 1, leaderId: 0, prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 0 };
      const [arrived] = readAppendEntries(
        writeAppendEntries({ ...head, entries: [toWolfEntry(entry)] }),
      ).entries;
      assert.deepEqual(toRaftEntry(arrived!), entry);
    }),
    { numRuns: 1000 },
  );
});

test('a Put of ours shows its key and value to those that know only the three fields, any other command the empty client', () => {
  const sealed = (command: Partial<mvcc.Command>) =>
    sealEnvelope(
      CommandKind.Command,
      1234,
      { node: 1, boot: '0123456789abcdef', sequence: 5 },
      mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish() as Buffer,
      undefined,
    );
  const shown = (data: Buffer) => {
    const { payload } = toWolfEntry({ index: 7, term: 2, type: EntryType.Normal, data });
    assert(payload.type === 'normal');
    assert.equal(payload.data.command, data);
    return [payload.data.client, payload.data.serial, payload.data.status];
  };
  const { PUT, DELETE } = mvcc.Command_CommandType;
  const pair = (key: string, value: Buffer) => mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value });
  const kv = pair('ключ', Buffer.from('v'));
  assert.deepEqual(shown(sealed({ type: PUT, kv })), ['ключ', 7, 'v']);
  assert.deepEqual(shown(sealed({ type: PUT, kv: pair('k', Buffer.from([0xff, 0x41])) })), [
    'k',
    7,
    '\ufffdA',
  ]);
  assert.deepEqual(shown(sealed({ type: DELETE, kv })), ['', 7, '']);
});

test('what nobody proposed has no time and no proposer', () => {
  const { data } = toRaftEntry(normal('c', 1, 's'));
  expect(openEnvelope(data, 1)).toMatchObject({ kind: CommandKind.Command, timeMs: 0, cursor: undefined });
  assert.deepEqual(data.subarray(2, 26), Buffer.alloc(24));
});

/** What memstore 0.2.0 does: a request whose serial is the client's last one has no effect, any other has. */
class MemstoreModel {
  readonly statuses = new Map<string, string>();
  readonly #serials = new Map<string, number>();

  apply(client: string, serial: number, status: string): void {
    if (this.#serials.get(client) === serial) return;
    this.#serials.set(client, serial);
    this.statuses.set(client, status);
  }
}

test('a table that applies them holds what a memstore holds', async () => {
  const request = fc.tuple(fc.constantFrom('', 'a', 'b', 'é'), fc.nat(3), fc.constantFrom('', 'x', 'y', 'z'));
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 30 }), async (requests) => {
      const model = new MemstoreModel();
      const table = await Table.open({
        directory: new MemoryStoreDirectory(),
        name: 'shard-1',
        create: true,
        initialIndex: 0,
        writeBufferSizeBytes: 1 << 20,
      });
      const entries = requests.map(([client, serial, status], place) => {
        model.apply(client, serial, status);
        const { index, term, data } = toRaftEntry(normal(client, serial, status, place + 1));
        const { kind, timeMs, cursor, command } = openEnvelope(data, index);
        return { index, term, timeMs, kind, cursor, payload: command, wantsResult: false };
      });
      await table.apply(entries);
      for (const client of ['', 'a', 'b', 'é']) {
        const { record } = table.get(Buffer.from(client));
        assert.equal(record?.value.toString(), model.statuses.get(client));
      }
      await table.close();
    }),
    { numRuns: 50 },
  );
});

test('a ConfigChange is nothing to a table', async () => {
  const data = configChangeData({ members: [0], membersAfterConsensus: undefined });
  expect(openEnvelope(data, 1).kind).toBe(CommandKind.None);
});

test('wolf ids begin at 0, which is nobody in the core (trap 3)', () => {
  expect([toNodeId(0), toWolfId(1), toWolfId(0)]).toEqual([1, 0, undefined]);
});
