// Puts the command and all that it imports into few files, packages/cli/bundle, which `bin/coxswain.cjs` runs: with
// six hundred modules to find, read and link, a node takes twice as long to start. It bundles what `tsc -b` emitted;
// `npm run build` does both, and so does every test run.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import bundleConsole from './bundle-console.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outdir = join(root, 'packages/cli/bundle');

/** The path of a file as the bundle's modules name it: the checkout may be moved as a whole. */
const fromBundle = (file) => {
  const path = relative(outdir, file);
  return path.startsWith('.') ? path : `./${path}`;
};

/** Packages with native code, which find it by where they lie. */
const native = ['@node-rs/crc32', 'classic-level', 'fs-native-extensions', 'msgpackr', 'snappy'];

const packagesStayInPlace = {
  name: 'packages with native code stay in place',
  setup({ onResolve, resolve }) {
    const filter = new RegExp(`^(${native.join('|')})$`);
    onResolve({ filter }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === 'resolve') return undefined;
      const [, workspace] = /^(.*?packages[/][^/]+)[/]dist[/]/.exec(importer) ?? [];
      if (workspace === undefined)
        throw new Error(`${importer} imports ${path}: a workspace must depend on it`);
      const { path: file, errors } = await resolve(path, { resolveDir, kind, pluginData: 'resolve' });
      if (errors.length > 0) return { errors };
      // By the workspace's link to it, and not by the place that pnpm chose.
      const inPackage = file.slice(file.lastIndexOf(`/node_modules/${path}/`));
      return { path: fromBundle(join(workspace, inPackage)), external: true };
    });
  },
};

/** What fastify would load for what is never asked of it here: a fifth of all that a node would have to read (schema-compilers.ts). */
const unasked = ['@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler', 'light-my-request'];

const whatIsUnaskedStaysAway = {
  name: 'what is never asked for stays away',
  setup({ onResolve, onLoad }) {
    const namespace = 'unasked';
    onResolve({ filter: new RegExp(`^(${unasked.join('|')})$`) }, ({ path }) => ({ path, namespace }));
    onLoad({ filter: /./, namespace }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not part of the bundle: see scripts/bundle.mjs`)});`,
    }));
  },
};

/**
 * Imports from a workspace whose modules do nothing when they are loaded ("sideEffects") become imports from the modules
 * that its index names. esbuild leaves out what nobody uses, but puts into one file all that one index passes on: a
 * command that asks for a key would read the server's code, and that of every protocol, with it.
 */
class ModuleImports {
  /** By the name of a workspace, and of what its index exports: what gives the import of it under a local name. */
  #known = new Map();

  constructor() {
    for (const name of readdirSync(join(root, 'packages'))) {
      const file = join(root, 'packages', name, 'package.json');
      if (!existsSync(file) || JSON.parse(readFileSync(file, 'utf8')).sideEffects !== false) continue;
      this.#known.set(`@coxswain/${name}`, exportsOf(join(root, 'packages', name, 'dist/src')));
    }
  }

  /** The text of a module, as `tsc` emitted it. What an index does not name one by one is imported from there. */
  apply(text) {
    return text.replace(/^import \{([^}]*)\} from '(@coxswain\/\w+)';$/gm, (whole, list, workspace) => {
      const known = this.#known.get(workspace);
      const names = namePairs(list);
      if (known === undefined || names.some(([name]) => !known.has(name))) return whole;
      return names.map(([name, local = name]) => known.get(name)(local)).join(' ');
    });
  }
}

function exportsOf(folder) {
  const found = new Map();
  const index = readFileSync(join(folder, 'index.js'), 'utf8');
  for (const [, space, list = '', file] of index.matchAll(
    /^export (?:\* as (\w+)|\{([^}]*)\}) from '([^']+)';$/gm,
  )) {
    const from = JSON.stringify(join(folder, file));
    if (space) found.set(space, (local) => `import * as ${local} from ${from};`);
    for (const [inner, outer = inner] of namePairs(list))
      found.set(outer, (local) => `import { ${inner} as ${local} } from ${from};`);
  }
  return found;
}

/** The names of an import or export list, each with the one after `as` where there is one. */
function namePairs(list) {
  const names = list.split(',').map((each) => each.trim());
  return names.filter((each) => each !== '').map((each) => each.split(/\s+as\s+/));
}

const modulesKnowTheirPlace = {
  name: 'modules find files beside themselves, and each other',
  setup({ onLoad }) {
    const moduleImports = new ModuleImports();
    onLoad({ filter: /packages\/[^/]+\/dist\/src\/.*[.]js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const url = `new URL(${JSON.stringify(fromBundle(path))}, import.meta.url).href`;
      return { contents: moduleImports.apply(text.replaceAll('import.meta.url', url)) };
    });
  },
};

/** The folder of the bundle with the console's page. */
const WEB = 'web';

const consoleLiesBeside = {
  name: 'the page of the console lies beside the bundle',
  setup({ onLoad }) {
    onLoad({ filter: /packages\/console\/dist\/src\/web-directory[.]js$/ }, () => ({
      contents: `export const webDirectory = new URL('./${WEB}/', import.meta.url);`,
    }));
  },
};

/** Writes what differs and removes what is gone, so that a bundle that is already right stays usable meanwhile. */
export default async function bundle() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['packages/cli/dist/src/main.js'],
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
    // CommonJS packages ask for Node's own modules by `require`, which an ES module does not have.
    banner: {
      js: "import { createRequire as createRequireOf } from 'node:module'; const require = createRequireOf(import.meta.url);",
    },
    plugins: [packagesStayInPlace, whatIsUnaskedStaysAway, consoleLiesBeside, modulesKnowTheirPlace],
  });
  mkdirSync(outdir, { recursive: true });
  for (const { path, contents } of outputFiles) {
    if (!existsSync(path) || !readFileSync(path).equals(contents)) writeFileSync(path, contents);
  }
  await bundleConsole(join(outdir, WEB));
  const written = new Set([...outputFiles.map(({ path }) => path), join(outdir, WEB)]);
  for (const name of readdirSync(outdir)) if (!written.has(join(outdir, name))) rmSync(join(outdir, name));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
