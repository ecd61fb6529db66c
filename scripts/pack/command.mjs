// The files of the `coxswain` command as a package: the bundle that every test runs, with the packages that it leaves in
// their places here (those with native code, and those that it loads for few commands) by name instead, as dependencies.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import bundle from '../bundle.mjs';
import { root } from './root.mjs';

/** The files that modules of the bundle find from where they lay before, by the path of the module. */
const filesOfModules = {
  'cli/dist/src/commands/playground.js': ['cli/bin/coxswain.cjs'],
  'cli/dist/src/version.js': ['cli/package.json'],
  'protocol/dist/src/index.js': ['protocol/descriptors.binpb'],
  'server/dist/src/process/version.js': ['server/package.json'],
};

/** Writes the files of the command into `directory`, and returns what its `package.json` says of them. */
export async function writeCommand(directory) {
  await bundle();
  const from = join(root, 'packages/cli/bundle');
  cpSync(from, join(directory, 'cli/bundle'), { recursive: true });
  const dependencies = {};
  const inlined = new Set();
  // The first is also what makes the bundle's files ES modules.
  const files = new Set(['cli/package.json', 'cli/bin/coxswain.cjs']);
  const versionIn = (workspace, name) => {
    const version = manifestOf(workspace).dependencies?.[name];
    if (version === undefined) throw new Error(`packages/${workspace} does not depend on ${name}`);
    dependencies[name] = version;
  };
  for (const name of readdirSync(from).filter((file) => file.endsWith('.js'))) {
    const text = readFileSync(join(from, name), 'utf8');
    for (const [, path] of text.matchAll(/^ *\/\/ (node_modules\/[.]pnpm\/.*?[.][cm]?js(?:on)?)$/gm))
      inlined.add(path);
    for (const [, path, asked] of text.matchAll(
      /createRequire\w*\(new URL\("([^"]+)", import[.]meta[.]url\)[.]href\)\("([^"]+)"\)/g,
    )) {
      versionIn(workspaceOf(path), asked);
    }
    for (const [, path] of text.matchAll(
      /new URL\("([.]{2}\/(?:[^"]*\/)?dist\/[^"]+)", import[.]meta[.]url\)/g,
    )) {
      const module = join('cli/bundle', path);
      const isForPackages = text.includes(`createRequire(new URL("${path}"`);
      if (filesOfModules[module] === undefined && !isForPackages)
        throw new Error(`say in scripts/pack/command.mjs which file ${module} reads`);
      for (const file of filesOfModules[module] ?? []) files.add(file);
    }
    const byName = text.replace(
      /"(?:[.]{2}\/)+([^/"]+)\/node_modules\/((?:@[^/"]+\/)?[^/"]+)\/[^"]*"/g,
      (_whole, workspace, dependency) => {
        versionIn(workspace, dependency);
        return JSON.stringify(dependency);
      },
    );
    if (/"[.]{1,2}\/[^"]*\/node_modules\//.test(byName))
      throw new Error(`${name} still imports by a place in node_modules`);
    writeFileSync(join(directory, 'cli/bundle', name), byName);
  }
  for (const file of files) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    if (file.endsWith('/package.json')) {
      const { type, version } = manifestOf(file.split('/')[0]);
      writeFileSync(join(directory, file), `${JSON.stringify({ private: true, type, version })}\n`);
    } else cpSync(join(root, 'packages', file), join(directory, file));
  }
  writeFileSync(join(directory, 'THIRD-PARTY-LICENSES.txt'), licencesOf(inlined));
  return {
    type: 'module',
    bin: { coxswain: './cli/bin/coxswain.cjs' },
    exports: { './package.json': './package.json' },
    dependencies: Object.fromEntries(Object.entries(dependencies).sort()),
  };
}

function manifestOf(workspace) {
  return JSON.parse(readFileSync(join(root, 'packages', workspace, 'package.json'), 'utf8'));
}

/** The workspace that a path from the bundle leads to. */
function workspaceOf(path) {
  return join('cli/bundle', path).split('/')[0];
}

/** The licences of the packages that the bundle contains parts of. */
function licencesOf(paths) {
  const folders = new Set();
  for (const path of paths) {
    const [folder] = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path);
    folders.add(folder);
  }
  const texts = [...folders].map((folder) => {
    const directory = join(root, folder);
    const { name, version, license = '' } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const file = readdirSync(directory).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text =
      file === undefined ? `Licence: ${license}` : readFileSync(join(directory, file), 'utf8').trim();
    return { name, text: `${name} ${version} (${license})\n\n${text}\n` };
  });
  texts.sort((a, b) => (a.name < b.name ? -1 : 1));
  return `The command contains parts of these packages.\n\n${texts.map(({ text }) => text).join(`\n${'-'.repeat(78)}\n\n`)}`;
}
