import { type BackupQuery, backupTypes, isBackupType } from './backup-history.js';
import { AgentRequestError, type KeyValues } from './key-value-block.js';
import { isSessionId, parseSessionId, type SessionPoint } from './session-id.js';
import {
  BLOCK_BYTES_DEFAULT,
  blockBytesMin,
  type StreamEncoding,
  type StreamEncodingName,
} from './stream-encoding.js';

/** What a client of the agent asks for. */
export type AgentRequest =
  | ({ readonly action: 'copy from' } & BackupRequest)
  | { readonly action: 'nothing' }
  | { readonly action: 'monitor'; readonly query: BackupQuery };

/** A backup, and how it is sent. */
export interface BackupRequest {
  /** Of level 1: what changed since this backup; undefined: everything. */
  readonly since: SessionPoint | undefined;
  /** Names the backup: the client's own, which is the directory that it unpacks into; undefined: ours will do. */
  readonly sid: string | undefined;
  /** Of level 1: `since` as the client wrote it. */
  readonly point: string | undefined;
  /** It comes from the real client, by its keys; else from a script that was made from the seed. */
  readonly isFromZrm: boolean;
  /** Each table comes with the index at which a follower cluster goes on. */
  readonly isForReplication: boolean;
  /** The directory inside the tar, relative; empty: files stand at its root. */
  readonly directory: string;
  readonly encoding: StreamEncoding;
  /** The tar is compressed by gzip before it is encoded. */
  readonly isGzipped: boolean;
}

/** What a request is read with. */
export interface AgentRequestOptions {
  /** Whether a password is the right one, in a time that tells nothing. */
  readonly isPasswordRight: (password: string) => boolean;
}

const DIRECTORY_BYTES_MAX = 1024;
const SID_LENGTH_MAX = 1024;
/** What ZRM has in the path of a whole backup, and in no other that it asks for at level 0. */
const FULL_BACKUP_MARK = 'ZRM_LINKS';
/** The keys that the seed names. A ZRM configuration has many more, and its client always adds some. */
const SEED_KEYS: ReadonlySet<string> = new Set([
  'action',
  'user',
  'password',
  'backup-level',
  'replication',
  'file',
  'sid',
]);
const ENCODING_NAMES: Readonly<Record<string, StreamEncodingName>> = {
  'application/x-uuencode-stream': 'uuencode',
  'application/x-base64-stream': 'base64',
  'application/octet-stream': 'octets',
};
/** The client runs the same command with `-d`; its example has a path. Here it is never run. */
const GZIP_COMMAND = /^(?:\/(?:[^/\s]+\/)*)?gzip(?: -c)?$/;

/**
 * Reads a request. The password is looked at first, so that a stranger learns nothing else; keys that this version does
 * not know are left alone, since a later micro version may add some. An empty value is an absent one. Throws
 * AgentRequestError.
 */
export function readAgentRequest(pairs: KeyValues, { isPasswordRight }: AgentRequestOptions): AgentRequest {
  if (!isPasswordRight(pairs.get('password') ?? '')) {
    throw new AgentRequestError('the password is wrong: it must be the maintenance token');
  }
  const action = pairs.get('action') ?? '';
  if (action === 'copy from') return readBackupRequest(pairs);
  if (action === 'monitor') return { action, query: readQuery(pairs) };
  const wanted = 'it must be "copy from" or "monitor"';
  throw new AgentRequestError(
    action === '' ? `the key action is missing: ${wanted}` : `the action is unknown: ${wanted}`,
  );
}

function readBackupRequest(pairs: KeyValues): AgentRequest {
  const level = readLevel(pairs);
  const isForReplication = readBit(pairs, 'replication') === 1;
  const file = pairs.get('file') ?? '';
  if (level === 0 && file !== '' && !file.includes(FULL_BACKUP_MARK)) return { action: 'nothing' };
  const sid = pairs.get('sid') ?? '';
  const isClientsSid = sid !== '' && !isSessionId(sid);
  if (isClientsSid && sid.length > SID_LENGTH_MAX) {
    throw new AgentRequestError(`sid must be at most ${SID_LENGTH_MAX} characters`);
  }
  const isFromZrm = [...pairs.keys()].some((key) => !SEED_KEYS.has(key));
  const begin = level === 1 ? beginOf(pairs, isClientsSid ? '' : sid) : undefined;
  return {
    action: 'copy from',
    since: begin && parseSessionId(begin.point, begin.key),
    sid: isClientsSid ? sid : undefined,
    point: begin?.point,
    isFromZrm,
    isForReplication,
    directory: isFromZrm ? '' : readDirectory(file),
    encoding: readEncoding(pairs, isFromZrm),
    isGzipped: readIsGzipped(pairs),
  };
}

/** The point that a backup of level 1 begins at, and the key that has it. */
function beginOf(
  pairs: KeyValues,
  ownSid: string,
): { readonly point: string; readonly key: 'binlog' | 'sid' } {
  const binlog = pairs.get('binlog') ?? '';
  if (binlog !== '') return { point: binlog, key: 'binlog' };
  if (ownSid !== '') return { point: ownSid, key: 'sid' };
  throw new AgentRequestError(
    'backup-level=1 needs the point that it begins at: in the key binlog, or as sid, the sid of the backup before',
  );
}

function readLevel(pairs: KeyValues): 0 | 1 {
  // An absent level is that of the seed's shortest requests. An empty one was meant to be something.
  if (pairs.get('backup-level') === '') throw new AgentRequestError('backup-level must be 0 or 1');
  return readBit(pairs, 'backup-level');
}

function readBit(pairs: KeyValues, key: string): 0 | 1 {
  const value = pairs.get(key) || '0';
  if (value === '0') return 0;
  if (value === '1') return 1;
  throw new AgentRequestError(`${key} must be 0 or 1`);
}

/** A number of at most twelve digits; 0 where there is none. */
function readNumber(pairs: KeyValues, key: string): number {
  const value = pairs.get(key) || '0';
  if (/^\d{1,12}$/.test(value)) return Number(value);
  throw new AgentRequestError(`${key} must be a number of at most 12 digits`);
}

function readEncoding(pairs: KeyValues, isFromZrm: boolean): StreamEncoding {
  const wanted = pairs.get('agent-stream-encoding') ?? '';
  const absent = isFromZrm ? 'uuencode' : 'octets';
  const name = wanted === '' ? absent : Object.hasOwn(ENCODING_NAMES, wanted) && ENCODING_NAMES[wanted];
  if (!name) {
    const known = Object.keys(ENCODING_NAMES).join(', ');
    throw new AgentRequestError(`Unknown encoding requested: ${wanted.slice(0, 100)} (known are ${known})`);
  }
  const isSized = (pairs.get('agent-stream-block-size') ?? '') !== '';
  const blockBytes = isSized ? readNumber(pairs, 'agent-stream-block-size') : BLOCK_BYTES_DEFAULT;
  if (blockBytes < blockBytesMin[name]) {
    throw new AgentRequestError(
      `agent-stream-block-size must be at least ${blockBytesMin[name]} for this encoding, not ${blockBytes}`,
    );
  }
  return { name, blockBytes };
}

function readIsGzipped(pairs: KeyValues): boolean {
  const command = pairs.get('xtrabackup-agent:inline-compress') ?? '';
  if (command === '') return false;
  if (GZIP_COMMAND.test(command)) return true;
  throw new AgentRequestError(
    'xtrabackup-agent:inline-compress must be "gzip -c" or "gzip": nothing else is done, and no command is run',
  );
}

function readQuery(pairs: KeyValues): BackupQuery {
  const type = pairs.get('type') || undefined;
  if (type !== undefined && !isBackupType(type)) {
    throw new AgentRequestError(`type must be ${backupTypes.join(' or ')}`);
  }
  return {
    type,
    newerThanSeconds: readNumber(pairs, 'newer_than'),
    itemsMax: readNumber(pairs, 'max_items'),
  };
}

/** `/srv/backups/x/.` is srv/backups/x: a tar holds relative names, and none that leads out of where it is unpacked. */
function readDirectory(file: string): string {
  if (Buffer.byteLength(file) > DIRECTORY_BYTES_MAX) {
    throw new AgentRequestError(`file must be at most ${DIRECTORY_BYTES_MAX} bytes`);
  }
  const parts = file.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new AgentRequestError('file must be a path without ".."');
  return parts.join('/');
}
