// Two files that need each other are one concept, or one of them holds two. dependency-cruiser sees what `tsc` emitted,
// where imports of types have vanished; this looks at the sources, so that circles of types count too. Prints each
// circle as a chain of files and exits 1.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const sources = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.ts', '*.tsx'],
  {
    cwd: root,
    encoding: 'utf8',
  },
)
  .split('\0')
  .filter((file) => /^(packages\/[^/]+|bench)\/(src|test)\//.test(file) && !file.includes('/src/gen/'));

/** The files that each file imports by a relative path, types included. */
const imports = new Map(
  sources.map((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const targets = [...text.matchAll(/(?:\bfrom|\bimport\() ?'(\.[^']+)\.js'/g)].map(([, path]) => {
      const target = normalize(join(dirname(file), `${path}.ts`));
      return sources.includes(target) ? target : `${target}x`;
    });
    return [file, [...new Set(targets)]];
  }),
);

/** Depth first: a file that is met again on the way to it closes a circle. Each circle is found once. */
function* circles() {
  const done = new Set();
  const way = [];
  function* visit(file) {
    const at = way.indexOf(file);
    if (at >= 0) yield [...way.slice(at), file];
    if (at >= 0 || done.has(file)) return;
    way.push(file);
    for (const target of imports.get(file) ?? []) yield* visit(target);
    way.pop();
    done.add(file);
  }
  for (const file of imports.keys()) yield* visit(file);
}

const found = [...circles()];
for (const circle of found) console.error(`these files need each other: ${circle.join(' -> ')}`);
process.exitCode = found.length === 0 ? 0 : 1;
