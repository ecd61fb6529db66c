// Generates packages/protocol/src/gen, packages/protocol/descriptors.binpb and proto/frozen.binpb from proto/. The frozen
// image is the API as it was generated last: what would break a client of that is refused before anything is written.
//
//   node scripts/generate.mjs           writes them
//   node scripts/generate.mjs --check   exits 1 when the committed ones differ from what it would write
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const GEN_FOLDER = 'packages/protocol/src/gen';
const DESCRIPTOR_FILE = 'packages/protocol/descriptors.binpb';
const FROZEN_FILE = 'proto/frozen.binpb';

/** Runs buf and returns what it wrote into a scratch folder: file names relative to the root, and contents. */
function generate() {
  const scratch = mkdtempSync(join(tmpdir(), 'coxswain-generate-'));
  try {
    const buf = (...args) =>
      execFileSync(join(root, 'node_modules/.bin/buf'), args, { cwd: root, stdio: 'inherit' });
    buf('breaking', '--against', FROZEN_FILE);
    buf('generate', '--output', scratch);
    const build = (file, ...flags) =>
      buf('build', ...flags, '--exclude-source-info', '-o', join(scratch, file));
    build(DESCRIPTOR_FILE, '--as-file-descriptor-set');
    mkdirSync(join(scratch, 'proto'));
    build(FROZEN_FILE);
    return new Map(
      filesBelow(scratch).map((path) => {
        return [relative(scratch, path).split(sep).join('/'), readFileSync(path)];
      }),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path) : [path];
    })
    .sort();
}

/** The committed files, in the same form as generate() returns. */
function committed() {
  const single = [DESCRIPTOR_FILE, FROZEN_FILE].map((name) => join(root, name));
  const paths = [...filesBelow(join(root, GEN_FOLDER)), ...single].filter((path) => existsSync(path));
  return new Map(paths.map((path) => [relative(root, path).split(sep).join('/'), readFileSync(path)]));
}

const fresh = generate();
if (process.argv[2] === '--check') {
  const current = committed();
  const stale = [...new Set([...fresh.keys(), ...current.keys()])].filter(
    (name) => !fresh.has(name) || !current.get(name)?.equals(fresh.get(name)),
  );
  if (stale.length > 0) {
    console.error(`not what proto/ generates, run \`npm run generate\`: ${stale.join(', ')}`);
    process.exitCode = 1;
  }
} else {
  rmSync(join(root, GEN_FOLDER), { recursive: true, force: true });
  for (const [name, content] of fresh) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}
