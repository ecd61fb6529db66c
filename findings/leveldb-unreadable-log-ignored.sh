#!/usr/bin/env bash
# LevelDB (in classic-level, with the options that it offers) opens a database whose write-ahead log it has no permission
# to read, without an error and without the writes in it, even those that were made with `sync: true`; then it removes
# that log. A missing permission for CURRENT is an error. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-save --no-audit --no-fund classic-level@3.0.0
cat >log.mjs <<'JS'
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';

const { version } = JSON.parse(readFileSync('node_modules/classic-level/package.json', 'utf8'));
console.log(`classic-level ${version}, node ${process.version}, ${process.platform}`);
const location = join(process.cwd(), 'db');
const first = new ClassicLevel(location);
await first.put('key', 'value', { sync: true });
await first.close();

const logs = () => readdirSync(location).filter((name) => name.endsWith('.log'));
const [log] = logs();
const isRoot = process.getuid() === 0;
if (isRoot) {
  // File modes stop everybody but root.
  for (const path of [process.cwd(), location]) chmodSync(path, 0o777);
  for (const name of readdirSync(location)) chmodSync(join(location, name), 0o666);
}
chmodSync(join(location, log), 0);
if (isRoot) process.seteuid(65_534);
const second = new ClassicLevel(location);
const failure = await second.open().then(
  () => undefined,
  (error) => error.cause?.message ?? error.message,
);
console.log(`opened without permission to read ${log}: ${failure ?? 'no error'}`);
const value = failure === undefined ? await second.get('key') : undefined;
console.log(`the synced key: ${value ?? 'missing'}; logs now: ${logs().join(' ')}`);
if (failure === undefined) await second.close();
process.exitCode = failure === undefined && value === undefined && !logs().includes(log) ? 0 : 1;
JS
node log.mjs
