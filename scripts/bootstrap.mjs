// Makes a fresh clone runnable with Node and npm alone: installs the locked dependencies with the pinned pnpm
// when they changed, then builds (not with --install-only). Uses only Node built-ins, since it runs before any
// install.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stampFile = join(root, 'node_modules', '.bootstrap-stamp');
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const stamp = createHash('sha256')
  .update(readFileSync(join(root, 'pnpm-lock.yaml')))
  .update(packageManager)
  .update(process.version)
  .digest('hex');

function run(command, args) {
  // Output goes to stderr, so that stdout belongs to the command that is started afterwards.
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** What was emitted for a source that is gone would still be run, tests above all; tsc leaves it there. */
function removeOrphans(workspace) {
  const emitted = join(root, workspace, 'dist');
  if (!existsSync(emitted)) return;
  for (const file of readdirSync(emitted, { recursive: true })) {
    // What the console's page is bundled into has no source of its name.
    if (file.startsWith('web/')) continue;
    const [, stem] = /^(.*?)(?:[.]d[.]ts|[.]js)(?:[.]map)?$/.exec(file) ?? [];
    const source = join(root, workspace, stem ?? '');
    if (stem && !existsSync(`${source}.ts`) && !existsSync(`${source}.tsx`)) rmSync(join(emitted, file));
  }
}

if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
  run('npx', ['-y', packageManager, 'install', '--frozen-lockfile', '--prefer-offline']);
  writeFileSync(stampFile, stamp);
}
if (!process.argv.includes('--install-only')) {
  for (const name of readdirSync(join(root, 'packages'))) removeOrphans(join('packages', name));
  removeOrphans('bench');
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']);
  run(process.execPath, [join(root, 'scripts', 'bundle.mjs')]);
  run(process.execPath, [join(root, 'scripts', 'manual-pages.mjs')]);
}
