import { regatta } from '@coxswain/protocol';
import { encodeKey } from '../load/key-space.js';
import { regattaDialect } from '../load/regatta-dialect.js';
import type { System } from './system.js';
import { callUnary } from './unary-call.js';

/**
 * Returns the endpoint of the node that leads, where calls take no detour.
 *
 * @throws Error when no node reports that it leads
 */
export async function findLeader({ name, dialect, endpoints }: System): Promise<string> {
  for (const endpoint of endpoints) {
    const leads = dialect === 'etcd' ? await leadsEtcd(endpoint) : await leadsTable(endpoint);
    if (leads) return endpoint;
  }
  throw new Error(`no node of ${name} says that it leads`);
}

async function leadsTable(endpoint: string): Promise<boolean> {
  const message = regattaDialect.encodeRange({ key: encodeKey(0), isLinearizable: true });
  const { header } = regatta.RangeResponse.decode(
    await callUnary(endpoint, regattaDialect.rangePath, Buffer.from(message)),
  );
  return header !== undefined && header.replicaId === header.raftLeaderId;
}

/**
 * Asks a node for its status: in etcdserverpb.StatusResponse the header is field 1, with the member's id as field 2,
 * and the leader's id is field 4.
 */
async function leadsEtcd(endpoint: string): Promise<boolean> {
  const answer = fieldsOf(await callUnary(endpoint, '/etcdserverpb.Maintenance/Status', Buffer.alloc(0)));
  const header = answer.get(1);
  return Buffer.isBuffer(header) && fieldsOf(header).get(2) === answer.get(4);
}

/** Returns integers and bytes by field number. */
function fieldsOf(message: Buffer): Map<number, bigint | Buffer> {
  const fields = new Map<number, bigint | Buffer>();
  let at = 0;
  const varint = (): bigint => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) {
      fields.set(tag >>> 3, varint());
    } else if ((tag & 7) === 2) {
      const length = Number(varint());
      fields.set(tag >>> 3, message.subarray(at, at + length));
      at += length;
    } else {
      throw new Error(`a field of wire type ${tag & 7}`);
    }
  }
  return fields;
}
