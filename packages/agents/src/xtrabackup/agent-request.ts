import { type BackupQuery, backupTypes, isBackupType } from './backup-history.js';
import { AgentRequestError, type KeyValues } from './key-value-block.js';
import { isSessionId, parseSessionId, type SessionPoint } from './session-id.js';
import {
  BLOCK_BYTES_DEFAULT,
  blockBytesMin,
  type StreamEncoding,
  type StreamEncodingName,
} from './stream-encoding.js';

/** A request of a client of the agent. */
export type AgentRequest =
  | ({ readonly action: 'copy from' } & BackupRequest)
  | { readonly action: 'nothing' }
  | { readonly action: 'monitor'; readonly query: BackupQuery };

/** A request for a backup, and the form in which it is sent. */
export interface BackupRequest {
  /** For a backup of level 1: the earlier backup whose changes since it are wanted; undefined for a full backup. */
  readonly since: SessionPoint | undefined;
  /**
   * The client's own name for the backup, the directory that it unpacks into; undefined when the agent may choose one.
   */
  readonly sid: string | undefined;
  /** For a backup of level 1: `since` as the client wrote it. */
  readonly point: string | undefined;
  /**
   * True when the request's keys show that it comes from the real client; otherwise it comes from a script that was
   * made from the seed.
   */
  readonly isFromZrm: boolean;
  /** True when each table must come with the index after which a follower cluster continues. */
  readonly isForReplication: boolean;
  /** The directory inside the tar, relative; empty when files stand at its root. */
  readonly directory: string;
  readonly encoding: StreamEncoding;
  /** True when the tar is compressed with gzip before it is encoded. */
  readonly isGzipped: boolean;
}

/** The means for reading a request. */
export interface AgentRequestOptions {
  /** Whether a password is the right one; takes the same time for right and wrong ones. */
  readonly isPasswordRight: (password: string) => boolean;
}

const DIRECTORY_BYTES_MAX = 1024;
const SID_LENGTH_MAX = 1024;
/** ZRM has this in the path of a whole backup, and in no other path that it asks for at level 0. */
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
/** The client runs the same command with `-d`; its example has a path. This agent never runs it. */
const GZIP_COMMAND = /^(?:\/(?:[^/\s]+\/)*)?gzip(?: -c)?$/;

/**
 * Reads a request. It checks the password first, so that a stranger learns nothing else. It ignores keys that this
 * version does not know, since a later micro version may add some. An empty value counts as absent. Throws
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

/** Returns the point at which a backup of level 1 begins, and the key of the request that has it. */
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
  // The shortest requests leave the level out, which means 0. An empty level was meant to be something, and is refused.
  if (pairs.get('backup-level') === '') throw new AgentRequestError('backup-level must be 0 or 1');
  return readBit(pairs, 'backup-level');
}

function readBit(pairs: KeyValues, key: string): 0 | 1 {
  const value = pairs.get(key) || '0';
  if (value === '0') return 0;
  if (value === '1') return 1;
  throw new AgentRequestError(`${key} must be 0 or 1`);
}

/** Reads a number of at most twelve digits; 0 when the key is absent. */
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

/**
 * Makes a path relative: `/srv/backups/x/.` becomes srv/backups/x. A tar holds relative names, and none that leads out
 * of the directory into which it is unpacked.
 */
function readDirectory(file: string): string {
  if (Buffer.byteLength(file) > DIRECTORY_BYTES_MAX) {
    throw new AgentRequestError(`file must be at most ${DIRECTORY_BYTES_MAX} bytes`);
  }
  const parts = file.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new AgentRequestError('file must be a path without ".."');
  return parts.join('/');
}
