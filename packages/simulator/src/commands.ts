import { mvcc } from '@coxswain/protocol';
import { Violation } from './violation.js';

export function txnOf(table: string, success: mvcc.RequestOp[]): mvcc.Command {
  return mvcc.Command.fromPartial({
    table: Buffer.from(table),
    type: mvcc.Command_CommandType.TXN,
    txn: { compare: [], success, failure: [] },
  });
}

export function putCommand(key: string, value: string): mvcc.Command {
  return mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.PUT,
    kv: { key: Buffer.from(key), value: Buffer.from(value) },
  });
}

/** Encodes commands, each after its length, as in snapshot streams (docs/protocol.md §3). */
export function withLengths(commands: readonly mvcc.Command[]): Buffer {
  return Buffer.concat(
    commands.flatMap((command) => {
      const bytes = mvcc.Command.encode(command).finish();
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(bytes.length));
      return [length, bytes];
    }),
  );
}

export function putOf(key: string, value: string): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestPut',
      value: { key: Buffer.from(key), value: Buffer.from(value), prevKv: false },
    },
  };
}

type Response = NonNullable<mvcc.ResponseOp['response']>;
type ResponseOf<C extends Response['$case']> = Extract<Response, { $case: C }>['value'];

export function responseOf<C extends Response['$case']>(
  operation: mvcc.ResponseOp | undefined,
  wanted: C,
): ResponseOf<C> {
  const response = operation?.response;
  if (response?.$case !== wanted) throw new Violation('answers', `${response?.$case} in place of ${wanted}`);
  return response.value as ResponseOf<C>;
}
