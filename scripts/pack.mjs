// Makes the packages that people install: the TypeScript client, the messages of the protocols, and the `coxswain` command.
// Each needs no other one of them; what they share is in the files of each.
//
//   node scripts/pack.mjs             writes dist/packages/NAME/ and dist/packages/coxswain-NAME-VERSION.tgz, by `npm pack`
//   node scripts/pack.mjs --check     also judges them, as `npm run lint` does: publint and Are The Types Wrong
//   node scripts/pack.mjs --into DIR  writes them into that directory instead
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { writeCommand } from './pack/command.mjs';
import { libraryManifest, writeLibrary } from './pack/library.mjs';
import { root } from './pack/root.mjs';

/** By the name of the workspace: writes the package's own files into a directory, and returns what its manifest says of them. */
const packages = {
  client: async (directory) => {
    await writeLibrary('client', directory);
    return libraryManifest;
  },
  protocol: async (directory) => {
    await writeLibrary('protocol', directory);
    cpSync(join(root, 'packages/protocol/descriptors.binpb'), join(directory, 'descriptors.binpb'));
    cpSync(join(root, 'proto'), join(directory, 'proto'), {
      recursive: true,
      filter: (path) => !path.endsWith('.binpb'),
    });
    return libraryManifest;
  },
  cli: writeCommand,
};

/** What people read of a package, and what is the same in the workspace. */
const SHARED_FIELDS = ['name', 'version', 'description', 'keywords', 'license', 'engines'];

async function stage(workspace, directory) {
  mkdirSync(directory, { recursive: true });
  const own = JSON.parse(readFileSync(join(root, 'packages', workspace, 'package.json'), 'utf8'));
  const more = await packages[workspace](directory);
  for (const [file, from] of [
    ['README.md', `packages/${workspace}/README.md`],
    ['LICENSE', 'LICENSE'],
  ]) {
    cpSync(join(root, from), join(directory, file));
  }
  const shared = Object.fromEntries(SHARED_FIELDS.map((field) => [field, own[field]]));
  const files = readdirSync(directory)
    .filter((file) => file !== 'package.json')
    .sort();
  writeFileSync(
    join(directory, 'package.json'),
    `${JSON.stringify({ ...shared, ...more, files }, null, 2)}\n`,
  );
}

/** Returns the file that `npm pack` made. */
function npmPack(directory, into) {
  const output = execFileSync('npm', ['pack', '--json', '--pack-destination', into, directory], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [{ filename }] = JSON.parse(output);
  return join(into, filename);
}

/** What is wrong with a package, in lines. */
async function judge(directory, file) {
  const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  const { messages } = await publint({ pack: { tarball: readFileSync(file) }, strict: true });
  const problems = messages.map((message) => `${manifest.name}: ${formatMessage(message, manifest)}`);
  if (manifest.types !== undefined) {
    const attw = join(root, 'node_modules/.bin/attw');
    const { status, stdout, stderr } = spawnSync(
      attw,
      [file, '--format', 'ascii', '--no-color', '--no-emoji'],
      {
        encoding: 'utf8',
      },
    );
    if (status !== 0) problems.push(`${manifest.name}: attw:\n${stdout}${stderr}`);
  }
  return problems;
}

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    into: { type: 'string', default: join(root, 'dist/packages') },
  },
});
const into = resolve(values.into);
rmSync(into, { recursive: true, force: true });
for (const workspace of Object.keys(packages)) {
  const directory = join(into, workspace);
  await stage(workspace, directory);
  const file = npmPack(directory, into);
  const problems = values.check ? await judge(directory, file) : [];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
  else console.log(file);
}
