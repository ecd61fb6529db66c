import { isName } from './store.js';

/** The shard that an object of the archive belongs to. */
export interface ShardKey {
  readonly clusterId: string;
  readonly shardId: number;
}

/** The parts of an object's name. `name` is the whole of it, within the store. */
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

/** The number of digits that 2^53-1 has: names sort as their numbers do. */
const DIGITS = 16;
export const HASH_DIGITS = 16;

const digits = (value: number): string => String(value).padStart(DIGITS, '0');

/** Returns the prefix of the names of all objects of a shard. */
export function shardPrefix({ clusterId, shardId }: ShardKey): string {
  return `${clusterId}/${shardId}/`;
}

/** Equal entries in equal portions get equal names, whoever stores them. `sha256` in hex. */
export function logName(shard: ShardKey, first: number, last: number, sha256: string): string {
  return `${logPrefix(shard, first)}${digits(last)}-${sha256.slice(0, HASH_DIGITS)}.log`;
}

/** Returns the prefix of the names of log objects whose first entry is `first`. */
export function logPrefix(shard: ShardKey, first: number): string {
  return `${shardPrefix(shard)}log/${digits(first)}-`;
}

/** A base is too large to be hashed before it is stored: `unique`, 16 hex digits, keeps two leaders' apart. */
export function baseName(shard: ShardKey, revision: number, unique: string): string {
  return `${shardPrefix(shard)}base/${digits(revision)}-${unique}.bak`;
}

export function gapName(shard: ShardKey, first: number, last: number): string {
  return `${shardPrefix(shard)}gaps/${digits(first)}-${digits(last)}.json`;
}

/** Returns a chapter's name. `chapter` is the first index that the chapter covers. */
export function manifestName(shard: ShardKey, chapter: number): string {
  return `${shardPrefix(shard)}manifest/${digits(chapter)}.json`;
}

/** Whether a cluster's id can be part of a name. */
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
