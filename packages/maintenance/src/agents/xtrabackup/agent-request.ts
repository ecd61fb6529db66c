import { AgentRequestError, type KeyValues } from './key-value-block.js';
import { parseSessionId, type SessionPoint } from './session-id.js';

/** What a client of the agent asks for. */
export interface AgentRequest {
  /** Level 1: what changed since this backup; undefined: everything. */
  readonly since: SessionPoint | undefined;
  /** Each table comes with the index at which a follower cluster goes on. */
  readonly isForReplication: boolean;
  /** The directory inside the tar, relative; empty: files stand at its root. */
  readonly directory: string;
}

/** What a request is read with. */
export interface AgentRequestOptions {
  /** Whether a password is the right one, in a time that tells nothing. */
  readonly isPasswordRight: (password: string) => boolean;
}

const DIRECTORY_BYTES_MAX = 1024;

/**
 * Reads a request. The password is looked at first, so that a stranger learns nothing else; keys that this version does
 * not know are left alone, since a later micro version may add some. Throws AgentRequestError.
 */
export function readAgentRequest(pairs: KeyValues, { isPasswordRight }: AgentRequestOptions): AgentRequest {
  if (!isPasswordRight(pairs.get('password') ?? '')) {
    throw new AgentRequestError('the password is wrong: it must be the maintenance token');
  }
  const action = pairs.get('action');
  if (action === undefined) throw new AgentRequestError('the key action is missing: it must be "copy from"');
  if (action !== 'copy from') throw new AgentRequestError('the action is unknown: it must be "copy from"');
  const level = readBit(pairs, 'backup-level');
  const sid = pairs.get('sid') ?? '';
  if (level === 1 && sid === '') {
    throw new AgentRequestError('backup-level=1 needs the sid of the backup that it is based on');
  }
  return {
    since: level === 1 ? parseSessionId(sid) : undefined,
    isForReplication: readBit(pairs, 'replication') === 1,
    directory: readDirectory(pairs.get('file') ?? ''),
  };
}

function readBit(pairs: KeyValues, key: string): 0 | 1 {
  const value = pairs.get(key) ?? '0';
  if (value === '0') return 0;
  if (value === '1') return 1;
  throw new AgentRequestError(`${key} must be 0 or 1`);
}

/** `/srv/backups/x/.` is srv/backups/x: a tar holds relative names, and none that leads out of where it is unpacked. */
function readDirectory(file: string): string {
  if (Buffer.byteLength(file) > DIRECTORY_BYTES_MAX) {
    throw new AgentRequestError(`file must be at most ${DIRECTORY_BYTES_MAX} bytes`);
  }
  const parts = file.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || /\p{Cc}/u.test(file)) {
    throw new AgentRequestError('file must be a path without ".." and control characters');
  }
  return parts.join('/');
}
