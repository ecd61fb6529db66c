import { createHash } from 'node:crypto';
import { AgentRequestError } from './key-value-block.js';

/** The revision up to which a backup holds each shard. */
export interface SessionPoint {
  /** Distinguishes clusters: the first 8 bytes of a SHA-256 hash of the cluster's id, in hex. */
  readonly cluster: string;
  /** Revisions by shard id, from the lowest shard up. */
  readonly revisions: ReadonlyMap<number, number>;
}

const PREFIX = 'cx1-';
const CLUSTER_BYTES = 8;
const CHECKSUM_BYTES = 4;
/** The greatest length of a session id in characters: a line of a request holds 64 KiB, including its key. */
export const SESSION_ID_LENGTH_MAX = 65_000;

/**
 * Returns the mark that stands for a cluster in a session id: the first 8 bytes of a SHA-256 hash of its id, in hex.
 */
export function clusterMark(clusterId: string): string {
  return digest(Buffer.from(clusterId)).subarray(0, CLUSTER_BYTES).toString('hex');
}

/**
 * Encodes a backup's content as its name, so that no node has to remember anything: the name outlives restarts, and
 * every node of the cluster understands it. Undefined when the tables are too many for one line: some five thousand
 * with long logs, ten thousand with short ones.
 */
export function formatSessionId({ cluster, revisions }: SessionPoint): string | undefined {
  const bytes: number[] = [...Buffer.from(cluster, 'hex')];
  let before = 0;
  for (const [shardId, revision] of [...revisions].sort(([a], [b]) => a - b)) {
    pushVarint(bytes, shardId - before);
    pushVarint(bytes, revision);
    before = shardId;
  }
  const body = Buffer.from(bytes);
  const sid = PREFIX + Buffer.concat([body, checksum(body)]).toString('base64url');
  return sid.length > SESSION_ID_LENGTH_MAX ? undefined : sid;
}

/** Whether a text has the form of a session id. Clients use a directory as theirs. */
export function isSessionId(text: string): boolean {
  return text.startsWith(PREFIX);
}

/**
 * Decodes a session id, which a request has under `key`. Throws AgentRequestError, which names the key, for a text that
 * no agent gave out.
 */
export function parseSessionId(sid: string, key: 'sid' | 'binlog' = 'sid'): SessionPoint {
  const bytes = Buffer.from(sid.slice(PREFIX.length), 'base64url');
  const body = bytes.subarray(0, -CHECKSUM_BYTES);
  const isWhole =
    isSessionId(sid) &&
    body.length >= CLUSTER_BYTES &&
    checksum(body).equals(bytes.subarray(-CHECKSUM_BYTES));
  if (!isWhole)
    throw new AgentRequestError(`the ${key} is not one that an agent gave out, or was not copied whole`);
  const revisions = new Map<number, number>();
  let at = CLUSTER_BYTES;
  const next = (): number => {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const byte = body[at++];
      if (byte === undefined || unit > Number.MAX_SAFE_INTEGER) {
        throw new AgentRequestError(`the ${key} is not one that this version of the agent gave out`);
      }
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
    }
  };
  for (let shardId = 0; at < body.length; ) {
    shardId += next();
    revisions.set(shardId, next());
  }
  return { cluster: body.subarray(0, CLUSTER_BYTES).toString('hex'), revisions };
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function checksum(body: Buffer): Buffer {
  return digest(body).subarray(0, CHECKSUM_BYTES);
}
