import { mvcc } from '@coxswain/protocol';
import { type Entry, EntryType } from '@coxswain/raft';
import { CommandKind, ENVELOPE_BYTES_MIN, openEnvelope, ownSequence, sealEnvelope } from '@coxswain/table';
import { type ClientRequest, membership, type WolfEntry, type WolfPayload } from './append-entries.js';
import { wolfErrors } from './errors.js';
import { JsonReader } from './json-reader.js';
import { membershipJson, type WolfMembership } from './membership.js';
import { serialPut, serialPutOf } from './serial-put.js';

const NOTHING = Buffer.alloc(0);
/** The origin of entries that came over wolf.raft without our envelope. No node has the id 0. */
const NOBODY = { node: 0, boot: '0'.repeat(16), sequence: 0 };
const NO_BOOT = Buffer.from(NOBODY.boot, 'hex');

/**
 * Converts an entry of wolf.raft to one of the core. `data` goes into the log and to the table:
 *
 * | payload | entry |
 * | --- | --- |
 * | Blank | Empty, as a leader of ours begins its term |
 * | Normal with `command` | Normal with these bytes, as the node that made them sealed them |
 * | Normal with the three fields | Normal: an envelope without origin, with the Put of `serialPut` |
 * | ConfigChange | Normal: an envelope without origin or command, then the membership's JSON, which apply ignores |
 *
 * Throws WolfError RAFT_APPEND_ENTRIES_FAILED for a SnapshotPointer, which stands for entries that this node lacks, and
 * for a `command` that is too short to be one.
 */
export function toRaftEntry({ term, index, payload }: WolfEntry): Entry {
  switch (payload.type) {
    case 'blank':
      return { index, term, type: EntryType.Empty, data: NOTHING };
    case 'normal': {
      const { command } = payload.data;
      if (command !== undefined && command.length < ENVELOPE_BYTES_MIN)
        throw wolfErrors.appendFailed(
          `the command of entry ${index} is of ${command.length} bytes: it is cut short`,
        );
      const data =
        command ?? sealEnvelope(CommandKind.Command, 0, NOBODY, serialPut(payload.data), undefined);
      return { index, term, type: EntryType.Normal, data };
    }
    case 'configChange':
      return { index, term, type: EntryType.Normal, data: configChangeData(payload.membership) };
    case 'snapshotPointer':
      throw wolfErrors.appendFailed(
        `entry ${index} is a SnapshotPointer, which a leader keeps to itself: send the snapshot with InstallSnapshot`,
      );
  }
}

/** Encodes the data of a Normal entry that stands for a ConfigChange of wolf.raft. A leader of ours may propose it. */
export function configChangeData(membership: WolfMembership): Buffer {
  return sealEnvelope(CommandKind.None, 0, NOBODY, Buffer.from(membershipJson(membership)), undefined);
}

/**
 * Converts an entry of the core to one of wolf.raft; `toRaftEntry` gives the same entry back. A command of ours carries
 * its whole data as `command`. A peer that knows only the three fields sees key and value of a Put, as far as they are
 * UTF-8, and any other command as a Put of the empty client. The serial is the entry's index, so that the peer ignores
 * none.
 */
export function toWolfEntry({ index, term, type, data }: Entry): WolfEntry {
  return { term, index, payload: type === EntryType.Empty ? { type: 'blank' } : payloadOf(data, index) };
}

function payloadOf(data: Buffer, index: number): WolfPayload {
  const { kind, command } = openedOf(data, index);
  if (isOfNobody(data)) {
    const known = kind === CommandKind.None ? configChangeOf(command) : normalOf(command);
    if (known !== undefined) return known;
  }
  const put = kind === CommandKind.Command ? putOf(command) : undefined;
  const client = put?.key.toString() ?? '';
  const status = put?.value.toString() ?? '';
  return { type: 'normal', data: { client, serial: index, status, command: data } };
}

/**
 * Opens an envelope. Data that a newer version wrote is passed on unchanged: only apply may refuse it, and then stops
 * the table (A8).
 */
function openedOf(
  data: Buffer,
  index: number,
): { readonly kind: CommandKind | undefined; readonly command: Buffer } {
  try {
    return openEnvelope(data, index);
  } catch {
    return { kind: undefined, command: NOTHING };
  }
}

function isOfNobody(data: Buffer): boolean {
  return data.length >= ENVELOPE_BYTES_MIN && ownSequence(data, NOBODY.node, NO_BOOT) === NOBODY.sequence;
}

function normalOf(command: Buffer): WolfPayload | undefined {
  const fields = serialPutOf(command);
  if (fields === undefined) return undefined;
  const data: ClientRequest = { ...fields, command: undefined };
  return { type: 'normal', data };
}

function configChangeOf(json: Buffer): WolfPayload | undefined {
  try {
    return { type: 'configChange', membership: new JsonReader(json.toString()).whole(membership) };
  } catch {
    // These are another program's bytes, which are passed on unchanged.
    return undefined;
  }
}

/** Returns the pair of a Put; undefined for any other command. */
function putOf(command: Buffer): mvcc.KeyValue | undefined {
  try {
    const { type, kv } = mvcc.Command.decode(command);
    return type === mvcc.Command_CommandType.PUT ? kv : undefined;
  } catch {
    return undefined;
  }
}
