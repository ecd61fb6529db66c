import { mvcc } from '@coxswain/protocol';
import type { ClientRequest } from './append-entries.js';

/** A byte that does not occur in UTF-8, so that no client's key collides with the keys that hold serials, and `s`. */
const SERIAL_PREFIX = Buffer.from([0xff, 0x73]);

/** Returns the key that holds the last serial of a client, as decimal digits. It sorts after every key in UTF-8. */
export function serialKey(client: Buffer): Buffer {
  return Buffer.concat([SERIAL_PREFIX, client]);
}

type Fields = Omit<ClientRequest, 'command'>;

/**
 * Encodes the command for a Normal entry with the three fields: a Put of key `client` and value `status`, which has no
 * effect when the client's last serial is exactly this one. memstore 0.2.0 does the same; it accepts a lower serial
 * like any other. The command is a marshalled mvcc.v1.Command: a Txn, which any version of the table can apply, with
 * the serial under a key of its own.
 */
export function serialPut({ client, serial, status }: Fields): Buffer {
  const key = Buffer.from(client);
  const serials = serialKey(key);
  const digits = Buffer.from(String(serial));
  const command = mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.TXN,
    txn: {
      compare: [
        {
          result: mvcc.Compare_CompareResult.EQUAL,
          target: mvcc.Compare_CompareTarget.VALUE,
          key: serials,
          targetUnion: { $case: 'value', value: digits },
        },
      ],
      success: [],
      failure: [put(key, Buffer.from(status)), put(serials, digits)],
    },
  });
  return mvcc.Command.encode(command).finish() as Buffer;
}

function put(key: Buffer, value: Buffer): mvcc.RequestOp {
  return { request: { $case: 'requestPut', value: mvcc.RequestOp_Put.fromPartial({ key, value }) } };
}

/** Returns the three fields of a command that `serialPut` made; undefined for any other bytes. */
export function serialPutOf(command: Buffer): Fields | undefined {
  let decoded: mvcc.Command;
  try {
    decoded = mvcc.Command.decode(command);
  } catch {
    return undefined;
  }
  const [first, second] = decoded.txn?.failure ?? [];
  if (first?.request?.$case !== 'requestPut' || second?.request?.$case !== 'requestPut') return undefined;
  const { key, value } = first.request.value;
  const serial = Number(second.request.value.value.toString('latin1'));
  if (!Number.isSafeInteger(serial) || serial < 0) return undefined;
  const fields = { client: key.toString(), serial, status: value.toString() };
  return serialPut(fields).equals(command) ? fields : undefined;
}
