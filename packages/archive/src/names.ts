import { isName } from './store.js';

/** The shard that an object of the archive belongs to. */
export interface ShardKey {
  readonly clusterId: string;
  readonly shardId: number;
}

/** The parts of an object's name. `name` is the whole name within the store. */
export type ArchiveName =
  | {
      readonly kind: 'log';
      readonly name: string;
      readonly shard: ShardKey;
      readonly first: number;
      readonly last: number;
      /** The first 16 hex digits of the sha256 of the object. */
      readonly hash: string;
    }
  | { readonly kind: 'base'; readonly name: string; readonly shard: ShardKey; readonly revision: number }
  | {
      readonly kind: 'gap';
      readonly name: string;
      readonly shard: ShardKey;
      readonly first: number;
      readonly last: number;
    }
  | { readonly kind: 'manifest'; readonly name: string; readonly shard: ShardKey; readonly chapter: number };

/** The digits that 2^53-1 has. Numbers are padded to as many, so that names sort as their numbers do. */
const DIGITS = 16;
/** The hex digits of a SHA-256 in the name of a log object. */
export const HASH_DIGITS = 16;

const digits = (value: number): string => String(value).padStart(DIGITS, '0');

/** Returns the prefix of the names of all objects of a shard. */
export function shardPrefix({ clusterId, shardId }: ShardKey): string {
  return `${clusterId}/${shardId}/`;
}

/**
 * Returns the name of a log object; `sha256` is in hex. Equal entries in equal portions get equal names, whichever node
 * stores them.
 */
export function logName(shard: ShardKey, first: number, last: number, sha256: string): string {
  return `${logPrefix(shard, first)}${digits(last)}-${sha256.slice(0, HASH_DIGITS)}.log`;
}

/** Returns the prefix of the names of log objects whose first entry is `first`. */
export function logPrefix(shard: ShardKey, first: number): string {
  return `${shardPrefix(shard)}log/${digits(first)}-`;
}

/**
 * Returns the name of a base. A base is too large to be hashed before it is stored, so `unique`, 16 hex digits, keeps
 * the bases of two leaders apart.
 */
export function baseName(shard: ShardKey, revision: number, unique: string): string {
  return `${shardPrefix(shard)}base/${digits(revision)}-${unique}.bak`;
}

/** Returns the name of the object that marks a gap. */
export function gapName(shard: ShardKey, first: number, last: number): string {
  return `${shardPrefix(shard)}gaps/${digits(first)}-${digits(last)}.json`;
}

/** Returns the name of a chapter of the manifest. `chapter` is the first index that it covers. */
export function manifestName(shard: ShardKey, chapter: number): string {
  return `${shardPrefix(shard)}manifest/${digits(chapter)}.json`;
}

/** Whether the id of a cluster can be a part of a name. */
export function isClusterId(id: string): boolean {
  return isName(id) && !id.includes('/');
}

const NAME =
  /^(?<cluster>[^/]+)\/(?<shard>[1-9]\d{0,15})\/(?:log\/(?<log>\d{16})-(?<logLast>\d{16})-(?<hash>[0-9a-f]{16})\.log|base\/(?<base>\d{16})-[0-9a-f]{16}\.bak|gaps\/(?<gap>\d{16})-(?<gapLast>\d{16})\.json|manifest\/(?<chapter>\d{16})\.json)$/;

/** Parses an object's name. Returns undefined for a name that no object of an archive has. */
export function parseName(name: string): ArchiveName | undefined {
  const groups = NAME.exec(name)?.groups;
  if (!groups) return undefined;
  const shard = { clusterId: groups['cluster']!, shardId: Number(groups['shard']) };
  const numbers = [shard.shardId];
  const number = (text: string | undefined): number => {
    const value = Number(text);
    numbers.push(value);
    return value;
  };
  const parsed = parseKind(groups, name, shard, number);
  return numbers.every(Number.isSafeInteger) ? parsed : undefined;
}

function parseKind(
  groups: Readonly<Record<string, string | undefined>>,
  name: string,
  shard: ShardKey,
  number: (text: string | undefined) => number,
): ArchiveName | undefined {
  if (groups['log'] !== undefined) {
    const [first, last] = [number(groups['log']), number(groups['logLast'])];
    return first > last ? undefined : { kind: 'log', name, shard, first, last, hash: groups['hash']! };
  }
  if (groups['gap'] !== undefined) {
    const [first, last] = [number(groups['gap']), number(groups['gapLast'])];
    return first > last ? undefined : { kind: 'gap', name, shard, first, last };
  }
  if (groups['base'] !== undefined) return { kind: 'base', name, shard, revision: number(groups['base']) };
  return { kind: 'manifest', name, shard, chapter: number(groups['chapter']) };
}
