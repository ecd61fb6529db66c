// Checks of the repository itself that no other tool makes. Prints what is wrong, one line each, and exits 1.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folderOf, layers, testLayers } from './layers.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}

/** The workspaces that the projects of a workspace refer to: its own, and that of tests which stand above what is tested. */
function projectsOf(folder) {
  const projects = [folder, `${folder}/test/rules`].filter((path) =>
    existsSync(join(root, path, 'tsconfig.json')),
  );
  const referenced = projects.flatMap((path) =>
    (readJson(`${path}/tsconfig.json`).references ?? []).map((reference) => join(root, path, reference.path)),
  );
  return [...new Set(referenced)].filter((path) => path !== join(root, folder)).sort();
}

function ourDependencies(dependencies = {}) {
  return Object.keys(dependencies)
    .filter((name) => name.startsWith('@coxswain/'))
    .map((name) => name.slice('@coxswain/'.length));
}

/** Imports of types vanish from what is emitted, so the layers are held in package.json and tsconfig.json too. */
function* checkLayers() {
  const folders = new Set(readdirSync(join(root, 'packages')).map((name) => `packages/${name}`));
  folders.add('bench');
  for (const workspace of Object.keys(layers)) {
    const folder = folderOf(workspace);
    folders.delete(folder);
    if (!existsSync(join(root, folder, 'package.json'))) {
      yield `scripts/layers.mjs: there is no workspace ${folder}`;
      continue;
    }
    const { dependencies, devDependencies } = readJson(`${folder}/package.json`);
    const runtime = ourDependencies(dependencies);
    const development = ourDependencies(devDependencies);
    for (const other of runtime) {
      if (!layers[workspace].includes(other))
        yield `${folder}/package.json: ${workspace} may not use ${other}`;
    }
    const allowedInTests = [...layers[workspace], ...(testLayers[workspace] ?? [])];
    for (const other of development) {
      if (!allowedInTests.includes(other))
        yield `${folder}/package.json: tests of ${workspace} may not use ${other}`;
    }
    const declared = [...runtime, ...development].map((other) => join(root, folderOf(other))).sort();
    const referenced = projectsOf(folder);
    if (declared.join() !== referenced.join()) {
      yield `${folder}/tsconfig.json: references must be the workspaces that package.json names`;
    }
  }
  for (const folder of folders) yield `${folder}: not in scripts/layers.mjs`;
}

/** A recorded address would tie an install to the registry of whoever made the lockfile. */
function* checkLockfile() {
  const lines = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (/tarball:|https?:\/\//.test(line)) yield `pnpm-lock.yaml:${index + 1}: records a download address`;
  }
}

/** A longer file holds more than one concept. */
const FILE_LINES_MAX = 700;

/** The playground runs nodes, and tests run programs; no node does. */
const mayRunPrograms = (file) =>
  file === 'packages/cli/src/commands/playground.ts' || file.startsWith('packages/testing/');

/** Rules are kept, not switched off in place; and what is unfinished is not in the tree; constants look like constants. */
function* checkSources() {
  const forbidden = new RegExp(
    ['@ts-' + 'expect-error', '@ts-' + 'nocheck', 'biome-' + 'ignore', 'TO' + 'DO', 'FIX' + 'ME'].join('|'),
  );
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  }).split('\0');
  for (const file of files) {
    if (!/[.](tsx?|mjs|cjs|js)$/.test(file) || file.includes('/gen/') || !existsSync(join(root, file)))
      continue;
    const text = readFileSync(join(root, file), 'utf8');
    const lines = text.split('\n');
    if (file.includes('/src/') && lines.length - 1 > FILE_LINES_MAX)
      yield `${file}: ${lines.length - 1} lines, at most ${FILE_LINES_MAX}: split it by concept`;
    for (const [index, line] of lines.entries()) {
      const match = forbidden.exec(line);
      if (match) yield `${file}:${index + 1}: ${match[0]} is not used here`;
    }
    yield* checkConstants(file, text);
    if (/^packages\/[^/]+\/src\//.test(file) && !mayRunPrograms(file) && text.includes('child_' + 'process'))
      yield `${file}: runs a program: nothing that a client sends may ever reach a shell (SECURITY.md)`;
  }
}

/**
 * A module constant that is a number or a string has a NAME_LIKE_THIS. Biome holds how names are written, but does not
 * see what they stand for.
 */
function* checkConstants(file, text) {
  for (const { 1: name, 2: value, index } of text.matchAll(
    /^(?:export )?const ([a-z]\w*)(?:: \w+)? =\s([^;]*);$/gm,
  )) {
    const rest = value
      .replaceAll(/'[^'\n]*'|"[^"\n]*"|`[^`$]*`/g, '')
      .replaceAll(/\b[A-Z][A-Z0-9_]*\b|\b\d\w*\b|[-+*/%().\s]/g, '');
    if (rest === '')
      yield `${file}:${text.slice(0, index).split('\n').length}: ${name} should be a NAME_LIKE_THIS`;
  }
}

const problems = [...checkLayers(), ...checkLockfile(), ...checkSources()];
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
