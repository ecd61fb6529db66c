import { wolfErrors } from './errors.js';
import { JsonError, JsonReader } from './json-reader.js';
import { membershipJson, type WolfMembership } from './membership.js';
import { idSet, option, type Read, string, struct, u64, variant } from './serde.js';

/** The ClientRequest of memstore, with one field of our own. */
export interface ClientRequest {
  readonly client: string;
  readonly serial: number;
  readonly status: string;
  /**
   * The complete data of an entry that one of our nodes made; undefined for an entry that consists of the three fields.
   */
  readonly command: Buffer | undefined;
}

/** The EntryPayload of async-raft. */
export type WolfPayload =
  | { readonly type: 'blank' }
  | { readonly type: 'normal'; readonly data: ClientRequest }
  | { readonly type: 'configChange'; readonly membership: WolfMembership }
  /** Stands in a leader's own log for the entries that a snapshot covers; a leader never sends it. */
  | { readonly type: 'snapshotPointer'; readonly id: string; readonly membership: WolfMembership };

/** The Entry of async-raft. */
export interface WolfEntry {
  readonly term: number;
  readonly index: number;
  readonly payload: WolfPayload;
}

/** The AppendEntriesRequest of async-raft. `leaderId` is a wolf id. */
export interface WolfAppendEntries {
  readonly term: number;
  readonly leaderId: number;
  readonly prevLogIndex: number;
  readonly prevLogTerm: number;
  readonly entries: readonly WolfEntry[];
  readonly leaderCommit: number;
}

/** Strict, since Buffer.from would skip characters that are not base64. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

const base64: Read<Buffer> = (json) => {
  const text = json.string();
  if (text.length % 4 !== 0 || !BASE64.test(text)) json.fail('command is not base64');
  return Buffer.from(text, 'base64');
};

const clientRequest = struct<ClientRequest>(
  'a client request',
  { client: string, serial: u64, status: string, command: base64 },
  { absent: { command: undefined }, ours: ['command'] },
);

const membershipFields = struct<{
  members: readonly number[];
  members_after_consensus: readonly number[] | undefined;
}>(
  'a membership',
  { members: idSet, members_after_consensus: option(idSet) },
  { absent: { members_after_consensus: undefined } },
);

/** Reads the MembershipConfig of async-raft. Throws JsonError. */
export const membership: Read<WolfMembership> = (json) => {
  const { members, members_after_consensus } = membershipFields(json);
  return { members, membersAfterConsensus: members_after_consensus };
};

const normal = struct<{ data: ClientRequest }>('a normal entry', { data: clientRequest });
const configChange = struct<{ membership: WolfMembership }>('a configuration change', { membership });
const snapshotPointer = struct<{ id: string; membership: WolfMembership }>('a snapshot pointer', {
  id: string,
  membership,
});

const payload = variant<WolfPayload>(
  'a payload',
  { Blank: { type: 'blank' } },
  {
    Normal: (json) => ({ type: 'normal', ...normal(json) }),
    ConfigChange: (json) => ({ type: 'configChange', ...configChange(json) }),
    SnapshotPointer: (json) => ({ type: 'snapshotPointer', ...snapshotPointer(json) }),
  },
);

const entry = struct<WolfEntry>('an entry', { term: u64, index: u64, payload });

const request = struct<{
  term: number;
  leader_id: number;
  prev_log_index: number;
  prev_log_term: number;
  entries: readonly WolfEntry[];
  leader_commit: number;
}>('an AppendEntries request', {
  term: u64,
  leader_id: u64,
  prev_log_index: u64,
  prev_log_term: u64,
  entries: (json) => json.array(entry),
  leader_commit: u64,
});

/**
 * Reads `req` of AppendEntries. It accepts and refuses exactly the texts that serde accepts and refuses for async-raft
 * 0.6.1 with memstore 0.2.0, and refuses also integers above 2^53-1 and a `command` that is not base64. Throws
 * WolfError RAFT_APPEND_ENTRIES_JSON_OF_REQ_IS_NOT_VALID, whose text contains none of the request's data.
 */
export function readAppendEntries(req: string): WolfAppendEntries {
  try {
    const read = new JsonReader(req).whole(request);
    return {
      term: read.term,
      leaderId: read.leader_id,
      prevLogIndex: read.prev_log_index,
      prevLogTerm: read.prev_log_term,
      entries: read.entries,
      leaderCommit: read.leader_commit,
    };
  } catch (error) {
    if (error instanceof JsonError) throw wolfErrors.jsonNotValid(error.reason, error.at);
    throw error;
  }
}

/**
 * Writes `req` of AppendEntries as serde_json prints it: on one line, without spaces, keys in the order of declaration.
 */
export function writeAppendEntries(request: WolfAppendEntries): string {
  const { term, leaderId, prevLogIndex, prevLogTerm, entries, leaderCommit } = request;
  return (
    `{"term":${term},"leader_id":${leaderId},"prev_log_index":${prevLogIndex},"prev_log_term":${prevLogTerm},` +
    `"entries":[${entries.map(entryJson).join(',')}],"leader_commit":${leaderCommit}}`
  );
}

function entryJson({ term, index, payload }: WolfEntry): string {
  return `{"term":${term},"index":${index},"payload":${payloadJson(payload)}}`;
}

function payloadJson(payload: WolfPayload): string {
  switch (payload.type) {
    case 'blank':
      return '"Blank"';
    case 'normal':
      return `{"Normal":{"data":${clientRequestJson(payload.data)}}}`;
    case 'configChange':
      return `{"ConfigChange":{"membership":${membershipJson(payload.membership)}}}`;
    case 'snapshotPointer':
      return `{"SnapshotPointer":{"id":${JSON.stringify(payload.id)},"membership":${membershipJson(payload.membership)}}}`;
  }
}

function clientRequestJson({ client, serial, status, command }: ClientRequest): string {
  const ours = command === undefined ? '' : `,"command":"${command.toString('base64')}"`;
  return `{"client":${JSON.stringify(client)},"serial":${serial},"status":${JSON.stringify(status)}${ours}}`;
}
