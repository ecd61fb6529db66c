import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { backupFileNames } from '../src/backup-file-names.js';
import { BackupDirectoryError } from '../src/backup-manifest.js';
import { BackupReader } from '../src/backup-reader.js';
import { BackupWriter } from '../src/backup-writer.js';
import type { BackupMoment, TableFile } from '../src/table-file.js';

const moment: BackupMoment = { clusterId: 'c', shardId: 10_001, revision: 7, timeMs: 1_000, keyCount: 3 };
const at = (key: string, keyCount: number) => ({
  lastKey: Buffer.from(key),
  recordBytes: 10 * keyCount,
  keyCount,
});
const [one, two, three] = ['one', 'two', 'three'].map((text) => Buffer.from(text)) as [
  Buffer,
  Buffer,
  Buffer,
];

let temporary: TemporaryDirectory;
let directory: string;

beforeEach(() => {
  temporary = new TemporaryDirectory();
  directory = temporary.path;
});

afterEach(() => temporary.remove());

const opened = (tables = ['t'], nowMs = 5_000): Promise<BackupWriter> =>
  BackupWriter.open(directory, tables, nowMs);

/** One chunk of a table has been written, and written down; a second one was on its way. */
async function brokenOff(): Promise<void> {
  const file = await (await opened()).table('t');
  await file.write(one, moment, at('a', 1));
  await file.write(two, undefined, undefined);
  await file.rewind();
  await file.close();
}

async function rest(file: TableFile): Promise<void> {
  await file.write(two, undefined, at('b', 2));
  await file.write(three, undefined, at('c', 3));
  await file.end();
}

async function contentOf(name: string): Promise<string> {
  const reader = await BackupReader.open(directory);
  const table = reader.manifest.tables.find((each) => each.name === name)!;
  await reader.check(table);
  let content = '';
  for await (const bytes of reader.read(table)) content += bytes.toString();
  return content;
}

test('a stock server, which names no moment, and sends nothing of an empty table', async () => {
  const writer = await opened(['empty', 'full']);
  const empty = await writer.table('empty');
  const full = await writer.table('full');
  await full.write(one, undefined, undefined);
  // It broke off, and nobody can go on with it.
  await full.rewind();
  await full.write(two, undefined, undefined);
  for (const file of [empty, full]) {
    const described = await file.end();
    expect(described).not.toHaveProperty('revision');
    expect(described).not.toHaveProperty('key_count');
    await file.close();
  }
  await writer.finish(9_000);
  expect([await contentOf('empty'), await contentOf('full')]).toEqual(['', 'two']);
});

describe('a backup that broke off', () => {
  test('goes on behind the last place, and in the end nothing tells of it', async () => {
    await brokenOff();
    const writer = await opened(['t'], 9_000);
    const file = await writer.table('t');
    expect(file.moment).toEqual(moment);
    expect(file.place).toEqual(at('a', 1));
    await rest(file);
    const manifest = await writer.finish(10_000);
    expect(manifest).toMatchObject({
      started: '1970-01-01T00:00:05.000Z',
      finished: '1970-01-01T00:00:10.000Z',
    });
    expect(manifest.tables).toMatchObject([
      { name: 't', file_name: 't.bak', cluster_id: 'c', shard_id: 10_001, revision: 7, key_count: 3 },
    ]);
    expect(readdirSync(directory).sort()).toEqual(['manifest.json', 't.bak']);
    expect(await contentOf('t')).toBe('onetwothree');
  });

  test('as its process was killed has to fetch 16 MiB again at most', async () => {
    const killed = await (await opened()).table('t');
    const mebibyte = Buffer.alloc(1024 * 1024);
    for (let count = 1; count <= 24; count++) await killed.write(mebibyte, moment, at('a', count));
    const file = await (await opened()).table('t');
    expect(file.place).toEqual(at('a', 16));
    await killed.close();
    await file.close();
  });

  test('begins anew where what is there is not what was written down', async () => {
    for (const spoil of [
      () => writeFileSync(join(directory, 't.bak.part'), 'oneX'.slice(0, 2)),
      () => writeFileSync(join(directory, 't.bak.part'), 'onXtwo'),
      () => rmSync(join(directory, 't.bak.part')),
      () => writeFileSync(join(directory, 't.bak.json'), '{'),
      () => writeFileSync(join(directory, 't.bak.json'), '{"format":2,"name":"t"}'),
    ]) {
      await brokenOff();
      spoil();
      const file = await (await opened()).table('t');
      expect([file.place, file.moment, file.whole]).toEqual([undefined, undefined, undefined]);
      await file.restart();
    }
  });

  test('does not fetch a table again that is whole', async () => {
    const file = await (await opened()).table('t');
    await file.write(one, moment, at('a', 1));
    await rest(file);
    const writer = await opened();
    expect((await writer.table('t')).whole).toMatchObject({ name: 't', key_count: 3 });
    await writer.finish(10_000);
    expect(await contentOf('t')).toBe('onetwothree');
  });

  test('takes less than before when it begins anew, and nothing of before is left', async () => {
    await brokenOff();
    const writer = await opened();
    const file = await writer.table('t');
    await file.restart();
    await file.write(Buffer.from('1'), { ...moment, revision: 8 }, at('a', 1));
    await file.end();
    await writer.finish(10_000);
    expect(await contentOf('t')).toBe('1');
    expect((await BackupReader.open(directory)).manifest.tables[0]!.revision).toBe(8);
  });
});

/** What a table may be called (T5): 1-255 bytes of UTF-8 without `/`, NUL or control characters. */
const ODD_NAMES = [
  '.',
  '..',
  '.hidden',
  ' ',
  'ends with a dot.',
  'ends with a space ',
  'manifest.json',
  't.bak',
  't.bak.part',
  'DOM\\users',
  '..\\up',
  'a,b',
  '"quoted"',
  'what? <*|:>',
  'NUL',
  'com1.txt',
  '-rf',
  'Users',
  'users',
  '\u00fc',
  'u\u0308',
  'stra\u00dfe',
  'STRASSE',
  'invisible\u200b',
  'invisible',
  '\u{1f6a3}'.repeat(63),
  'ü'.repeat(127),
  'x'.repeat(255),
  `${'x'.repeat(254)}y`,
];

test('tables of any name have files of their own on any disk, in one manifest', async () => {
  const names = ['t', ...ODD_NAMES];
  // Not even one that is called as the file of another gets in its way.
  names.push(backupFileNames(names, '.bak').get('..')!);
  const writer = await opened(names);
  for (const name of names) {
    const file = await writer.table(name);
    await file.write(Buffer.from(name), moment, undefined);
    await file.end();
  }
  const { tables } = await writer.finish(10_000);
  for (const name of names) expect(await contentOf(name)).toBe(name);
  const files = tables.map((table) => table.file_name);
  const alike = files.map((file) =>
    file
      .normalize('NFC')
      .toLowerCase()
      .replace(/\u200b/g, ''),
  );
  expect(new Set(alike).size).toBe(names.length);
  for (const file of files) {
    expect(file).toMatch(/^[^.\\:*?"<>|][^\\:*?"<>|]*\.bak$/);
    expect(Buffer.byteLength(`${file}.json.tmp`)).toBeLessThanOrEqual(255);
  }
  expect(files).toEqual(expect.arrayContaining(['t.bak', 'a,b.bak', '-rf.bak', 't.bak.part.bak']));
  await expect(opened(names)).rejects.toThrow(BackupDirectoryError);
});

test('what a manifest says of one table spoils no other', async () => {
  const md5 = createHash('md5').update('x').digest('hex');
  writeFileSync(join(directory, 't.bak'), 'x');
  // As stock Regatta calls the file of such a table where a backslash is a character as any other.
  if (sep === '/') writeFileSync(join(directory, 'DOM\\users.bak'), 'x');
  const tables = [
    { name: 'up', file_name: '../t.bak', md5 },
    { name: 'none', file_name: '', md5 },
    { name: 'self', file_name: '.', md5 },
    { name: 'twice', file_name: 't.bak', md5 },
    { name: 'twice', file_name: 't.bak', md5 },
    { name: 'DOM\\users', file_name: 'DOM\\users.bak', md5 },
    { name: 't', file_name: 't.bak', md5 },
  ];
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ tables }));
  expect(await contentOf('t')).toBe('x');
  if (sep === '/') expect(await contentOf('DOM\\users')).toBe('x');
  for (const name of ['up', 'none', 'self']) {
    await expect(contentOf(name)).rejects.toThrow(
      `names a file of table '${name}' that is not beside it: restore from another copy, or name the other tables`,
    );
  }
  await expect(contentOf('twice')).rejects.toThrow("lists table 'twice' twice");
});

test('Regatta\u2019s own manifests are read, whatever else they hold', async () => {
  writeFileSync(join(directory, 'regatta.bak'), 'x');
  const tables = [
    {
      name: 'regatta',
      type: 'REPLICATED',
      file_name: 'regatta.bak',
      md5: '9DD4E461268C8034F5C8564E155C67A6',
    },
  ];
  writeFileSync(
    join(directory, 'manifest.json'),
    JSON.stringify({ started: 's', finished: 'f', tables, more: 1 }),
  );
  expect(await contentOf('regatta')).toBe('x');
});

test.each([
  ['null', 'is no manifest'],
  ['{"tables":{}}', 'has no list of tables'],
  ['{"tables":[null]}', 'without name, file_name or md5'],
  ['{"tables":[{"name":"t","md5":""}]}', 'without name, file_name or md5'],
])('%s is refused', async (text, reason) => {
  writeFileSync(join(directory, 'manifest.json'), text);
  await expect(BackupReader.open(directory)).rejects.toThrow(reason);
  expect(readFileSync(join(directory, 'manifest.json'), 'utf8')).toBe(text);
});
