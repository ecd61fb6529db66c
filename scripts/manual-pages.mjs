// Writes the pages of the manual, packages/cli/man, from the help of the commands; `npm run build` does. With --check it
// writes nothing, and has mandoc or man read every page where one of them is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualPages } from '../packages/cli/dist/src/manual/manual-pages.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..', 'packages/cli/man');

function write(pages) {
  mkdirSync(folder, { recursive: true });
  for (const { name, text } of pages) {
    const path = join(folder, name);
    if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
  }
  const names = new Set(pages.map(({ name }) => name));
  for (const name of readdirSync(folder)) if (!names.has(name)) rmSync(join(folder, name));
}

/** The programs that find faults in a page, the best first, each with what makes it read from stdin. */
const readers = [
  ['mandoc', ['-Tlint', '-W', 'warning']],
  ['man', ['--warnings', '-l', '-']],
];

function check(pages) {
  for (const [program, args] of readers) {
    const results = pages.map(({ name, text }) => {
      const env = { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' };
      const { error, status, stdout, stderr } = spawnSync(program, args, {
        input: text,
        encoding: 'utf8',
        env,
      });
      if (error) return undefined;
      return { name, faults: program === 'mandoc' ? stdout : stderr, status };
    });
    if (results.includes(undefined)) continue;
    for (const { name, faults, status } of results) {
      if (faults === '' && status === 0) continue;
      console.error(`packages/cli/man/${name}: ${program}: ${faults.trim()}`);
      process.exitCode = 1;
    }
    return;
  }
  console.log('neither mandoc nor man is installed: the pages were made and not read');
}

const pages = await manualPages();
if (process.argv.includes('--check')) check(pages);
else write(pages);
