#!/usr/bin/env bash
# An iterator of classic-level with `keys: false` and `values: false` gives no entry at all, where the interface that it
# implements (abstract-level) has it give one with undefined for each: who counts entries so counts 0, without an error.
# memory-level, which has the same interface, gives them. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-save --no-audit --no-fund classic-level@3.0.0 memory-level@3.1.0
cat >iterate.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { MemoryLevel } from 'memory-level';

const versionOf = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version;

async function counts(name, db) {
  for (const key of ['a', 'b', 'c']) await db.put(key, 'value');
  const count = async (options) => {
    let entries = 0;
    for await (const _ of db.iterator(options)) entries += 1;
    return entries;
  };
  const withKeys = await count({ values: false });
  const withNeither = await count({ keys: false, values: false });
  await db.close();
  console.log(`${name} ${versionOf(name)}: 3 entries; with keys alone ${withKeys}, with neither ${withNeither}`);
  return [withKeys, withNeither];
}

const classic = await counts('classic-level', new ClassicLevel(join(process.cwd(), 'db')));
const memory = await counts('memory-level', new MemoryLevel());
process.exitCode = `${classic}` === '3,0' && `${memory}` === '3,3' ? 0 : 1;
JS
node iterate.mjs
