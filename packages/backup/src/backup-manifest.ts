import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { exists, syncDirectory, writeWhole } from './durable-files.js';

/*
 * A backup directory holds `<table>.bak` for each table, and `manifest.json`, which is written last: a directory that has
 * it is complete (docs/protocol.md §4). While a table is being written, its file is `<table>.bak.part`, and
 * `<table>.bak.json` records how many bytes of that are valid and where an interrupted backup continues.
 */

/** The name of the file that makes a backup directory complete. */
export const MANIFEST = 'manifest.json';
/** Bytes of the largest manifest that is read: enough for as many tables as a cluster may hold. */
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

/** A directory is not a backup directory, or cannot be used as one; the text says what to do. */
export class BackupDirectoryError extends Error {
  override readonly name = 'BackupDirectoryError';
}

/** A table in a manifest: the fields that Regatta writes, then our own. */
export interface BackedUpTable {
  readonly name: string;
  readonly file_name: string;
  /** The MD5 of the file, in hex. */
  readonly md5: string;
  /** INCREMENTAL files hold commands to replay after a full backup; files of every other type hold the table. */
  readonly type?: string;
  readonly cluster_id?: string;
  readonly shard_id?: number;
  /** The revision of the table that the file holds. */
  readonly revision?: number;
  /** The time of that revision, in RFC 3339. */
  readonly time?: string;
  readonly key_count?: number;
  /** For an INCREMENTAL file: the shard's revision after which its commands begin. */
  readonly base_revision?: number;
}

export interface Manifest {
  /** The time at which the backup began, in RFC 3339. */
  readonly started: string;
  readonly finished: string;
  readonly tables: readonly BackedUpTable[];
}

export function manifestPath(directory: string): string {
  return join(directory, MANIFEST);
}

/** The content of the manifest's file. */
export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Writes the manifest, which makes the backup in the directory complete. */
export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  await syncDirectory(directory);
  await writeWhole(manifestPath(directory), formatManifest(manifest));
  await syncDirectory(directory);
}

/** Whether the directory holds a complete backup. */
export function hasManifest(directory: string): Promise<boolean> {
  return exists(manifestPath(directory));
}

/** Throws BackupDirectoryError when there is no complete backup, and the system's errors. */
export async function readManifest(directory: string): Promise<Manifest> {
  const path = manifestPath(directory);
  let text: string;
  try {
    if ((await stat(path)).size > MANIFEST_BYTES_MAX) {
      throw new BackupDirectoryError(`${path} is larger than any manifest: it is another file`);
    }
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new BackupDirectoryError(await whyNoManifest(directory), { cause: error });
  }
  return parseManifest(text, path);
}

async function whyNoManifest(path: string): Promise<string> {
  const names = await readdir(path).catch(() => undefined);
  if (names === undefined) return `there is no directory ${path}`;
  return names.some((name) => name.endsWith('.bak.json') || name.endsWith('.bak.part'))
    ? `the backup in ${path} is not whole: run the same coxswain backup again, which goes on with it`
    : `${path} has no ${MANIFEST}: it is no backup`;
}

function parseManifest(text: string, path: string): Manifest {
  const fail = (what: string): never => {
    throw new BackupDirectoryError(`${path} ${what}: restore from another copy`);
  };
  let manifest: Partial<Manifest> | null = null;
  try {
    manifest = JSON.parse(text) as Partial<Manifest> | null;
  } catch {
    fail('is no JSON');
  }
  if (manifest === null || typeof manifest !== 'object') return fail('is no manifest');
  const { started = '', finished = '' } = manifest;
  // Regatta writes null when there are no tables.
  const tables = manifest.tables ?? [];
  if (!Array.isArray(tables)) return fail('has no list of tables');
  for (const table of tables as Partial<BackedUpTable>[]) {
    const { name, file_name: fileName, md5 } = table ?? {};
    if (typeof name !== 'string' || name === '' || typeof fileName !== 'string' || typeof md5 !== 'string') {
      return fail('lists a table without name, file_name or md5');
    }
  }
  return { started, finished, tables };
}

/** Whether a manifest names a file of its own directory, by this system's rules for names. */
export function isBeside(fileName: string): boolean {
  return !['', '.', '..'].includes(fileName) && basename(fileName) === fileName && !fileName.includes('\0');
}
