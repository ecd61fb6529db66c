// The files of a library as a package: one CommonJS module with all that it needs of other workspaces, an ES module that
// passes on what that one has (so that a program which mixes both kinds still has one class of each error), and the types.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { root } from './root.mjs';

const indexOf = (workspace) => join(root, 'packages', workspace, 'dist/src/index.js');

/** What `package.json` says of the files that `writeLibrary` writes. */
export const libraryManifest = {
  type: 'commonjs',
  main: './lib/index.js',
  types: './lib/index.d.ts',
  exports: {
    '.': {
      import: { types: './lib/index.d.mts', default: './lib/index.mjs' },
      require: { types: './lib/index.d.ts', default: './lib/index.js' },
    },
    './package.json': './package.json',
  },
  sideEffects: false,
  // The types name Node's Buffer and AbortSignal; programs in JavaScript need no types.
  peerDependencies: { '@types/node': '>=20' },
  peerDependenciesMeta: { '@types/node': { optional: true } },
};

/** Writes `lib/` of the library in packages/`workspace` into `directory`. */
export async function writeLibrary(workspace, directory) {
  const lib = join(directory, 'lib');
  mkdirSync(lib, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: [indexOf(workspace)],
    outfile: join(lib, 'index.js'),
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20.19',
    logLevel: 'warning',
    // Where Jest loads CommonJS, import() cannot be called.
    supported: { 'dynamic-import': false },
    // A module of dist/src finds the package's folder two levels up.
    define: { 'import.meta.url': 'moduleUrl' },
    banner: {
      js: "const moduleUrl = require('node:url').pathToFileURL(require('node:path').join(__dirname, 'src/index.js')).href;",
    },
  });
  // Node looks there for the kind of module; stage() writes all of it.
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ type: libraryManifest.type }));
  const names = Object.keys(createRequire(import.meta.url)(join(lib, 'index.js'))).sort();
  writeFileSync(
    join(lib, 'index.mjs'),
    `import library from './index.js';\nexport const {\n${names.map((name) => `  ${name},\n`).join('')}} = library;\n`,
  );
  writeTypes(workspace, lib);
}

/** Copies the declarations that the library's own lead to; those of other workspaces are imported by their path here. */
function writeTypes(workspace, lib) {
  const target = (file) => {
    const [, name, path] = /packages\/([^/]+)\/dist\/src\/(.*)$/.exec(file);
    return join(lib, 'types', name, path);
  };
  const isCopied = new Set();
  const copy = (file) => {
    if (isCopied.has(file)) return;
    isCopied.add(file);
    const text = readFileSync(file, 'utf8')
      .replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n')
      .replace(/(\bfrom |\bimport\()(['"])([.@][^'"]*)\2/g, (_whole, before, quote, specifier) => {
        const [, other] = /^@coxswain\/(.*)$/.exec(specifier) ?? [];
        if (other === undefined && !specifier.startsWith('.'))
          throw new Error(`${file} needs types of ${specifier}, which the package does not bring`);
        const module = other === undefined ? join(dirname(file), specifier) : indexOf(other);
        copy(module.replace(/[.]js$/, '.d.ts'));
        const path = relative(dirname(target(file)), target(module));
        return `${before}${quote}${path.startsWith('.') ? path : `./${path}`}${quote}`;
      });
    mkdirSync(dirname(target(file)), { recursive: true });
    writeFileSync(target(file), text);
  };
  copy(indexOf(workspace).replace(/[.]js$/, '.d.ts'));
  const all = `export * from './types/${workspace}/index.js';\n`;
  writeFileSync(join(lib, 'index.d.ts'), `/// <reference types="node" />\n${all}`);
  writeFileSync(join(lib, 'index.d.mts'), `/// <reference types="node" />\nexport * from './index.js';\n`);
}
