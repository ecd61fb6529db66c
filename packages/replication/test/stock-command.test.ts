import { mvcc } from '@coxswain/protocol';
import { expect, test } from '@jest/globals';
import { toStockCommand } from '../src/stock-command.js';

const { DUMMY, TXN, SEQUENCE, GC } = mvcc.Command_CommandType;
const { VERSION, VALUE } = mvcc.Compare_CompareTarget;

const txn = (target: mvcc.Compare_CompareTarget) => ({
  type: TXN,
  txn: {
    compare: [{ target, key: Buffer.from('k') }],
    success: [{ request: { $case: 'requestPut' as const, value: { key: Buffer.from('yes') } } }],
    failure: [{ request: { $case: 'requestPut' as const, value: { key: Buffer.from('no') } } }],
  },
});
const encode = (command: Parameters<typeof mvcc.Command.fromPartial>[0]): Buffer =>
  Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish());
const branchesOf = (command: Buffer) =>
  mvcc.Command.decode(command).sequence.map(({ txn: part }) => [
    part!.compare.length,
    part!.success.map(({ request }) => (request!.value as { key: Buffer }).key.toString()),
  ]);

test('each Txn of a sequence becomes the branch that it took (R3)', async () => {
  const sequence = encode({ type: SEQUENCE, sequence: [txn(VERSION), txn(VALUE), txn(VERSION)] });
  const txnOutcome = async (index: number, place = 0) => (index === 7 ? place === 0 : undefined);
  expect(branchesOf((await toStockCommand(sequence, 7, { txnOutcome }))!)).toEqual([
    [0, ['yes']],
    [1, ['yes']],
    [0, ['no']],
  ]);
  expect(await toStockCommand(sequence, 8, { txnOutcome })).toBeUndefined();
});

test('a GC becomes a DUMMY: Regatta knows none, and its followers keep no tombstones', async () => {
  const gc = { type: GC, leaderIndex: 3n };
  const context = { txnOutcome: async () => undefined };
  const alone = (await toStockCommand(encode(gc), 3, context))!;
  expect(mvcc.Command.decode(alone)).toMatchObject({ type: DUMMY, leaderIndex: 3n });
  const within = (await toStockCommand(encode({ type: SEQUENCE, sequence: [gc, txn(VALUE)] }), 3, context))!;
  expect(mvcc.Command.decode(within).sequence.map(({ type }) => type)).toEqual([DUMMY, TXN]);
});

test('what a stock follower runs as it was run here stays byte for byte', async () => {
  const commands = [encode(txn(VALUE)), encode({ type: SEQUENCE, sequence: [txn(VALUE)] })];
  for (const command of commands) {
    expect(await toStockCommand(command, 1, { txnOutcome: async () => undefined })).toBe(command);
  }
});
