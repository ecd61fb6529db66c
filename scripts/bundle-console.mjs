// Makes of the console's page (packages/console/src/web) the few files that a browser loads: packages/console/dist/web, and
// the copy that goes with the bundle of the command. `scripts/bundle.mjs` does it, from what `tsc -b` emitted.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const workspace = join(root, 'packages/console');

/** A page is loaded over slow links too: all of its files together, uncompressed, stay below this. */
const WEIGHT_BYTES_MAX = 300_000;

/** Gives the files by name. Throws when they weigh too much. */
async function buildFiles() {
  const { outputFiles } = await build({
    absWorkingDir: workspace,
    entryPoints: { console: 'dist/src/web/main.js', style: 'src/web/style.css' },
    outdir: 'dist/web',
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: ['chrome115', 'firefox115', 'safari16.4'],
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [basename(path), Buffer.from(contents)]));
  files.set('icon.svg', readFileSync(join(workspace, 'src/web/icon.svg')));
  const nameOf = (start) => [...files.keys()].find((name) => name.startsWith(start));
  const page = readFileSync(join(workspace, 'src/web/index.html'), 'utf8')
    .replace('{{script}}', nameOf('console-'))
    .replace('{{style}}', nameOf('style-'));
  files.set('index.html', Buffer.from(page));
  const weightBytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  if (weightBytes >= WEIGHT_BYTES_MAX)
    throw new Error(`the console weighs ${weightBytes} bytes, and ${WEIGHT_BYTES_MAX} are too many`);
  return files;
}

/** Writes what differs and removes what is gone. */
function writeDirectory(directory, files) {
  mkdirSync(directory, { recursive: true });
  for (const [name, bytes] of files) {
    const path = join(directory, name);
    if (!existsSync(path) || !readFileSync(path).equals(bytes)) writeFileSync(path, bytes);
  }
  for (const name of readdirSync(directory)) if (!files.has(name)) rmSync(join(directory, name));
}

export default async function bundleConsole(...directories) {
  const files = await buildFiles();
  for (const directory of [join(workspace, 'dist/web'), ...directories]) writeDirectory(directory, files);
}
