// `npm run check:wolf`: compares the parsers and printers of packages/wolf with the real ones, async-raft 0.6.1 and memstore
// 0.2.0, on the texts written by hand and on thousands that are made from them. Needs cargo. `--write` notes what the real
// ones make of the texts in packages/wolf/test/golden/real.json; `--seed N` and `--texts N` choose the made ones. The first
// build takes minutes: REAL_PARSER may name what an earlier one made.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutatedTexts, texts } from '../packages/wolf/dist/test/texts.js';
import { differenceOf } from '../packages/wolf/dist/test/verdict.js';

const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    texts: { type: 'string', default: '20000' },
  },
});
const golden = join(dirname(fileURLToPath(import.meta.url)), '..', 'packages', 'wolf', 'test', 'golden');
/** Of those that are noted: enough to find what goes wrong, few enough to be read. */
const NOTED = 400;

if (process.env.REAL_PARSER === undefined && spawnSync('cargo', ['--version']).status !== 0) {
  console.log('cargo is not here: the real parser cannot be built, and nothing was compared');
  process.exit(1);
}
function built() {
  cpSync(join(golden, 'real-parser'), folder, { recursive: true });
  const { status } = spawnSync('cargo', ['build', '--release', '--quiet'], { cwd: folder, stdio: 'inherit' });
  if (status !== 0) throw new Error('the real parser does not build');
  return join(folder, 'target', 'release', 'real-parser');
}

const folder = mkdtempSync(join(tmpdir(), 'coxswain-wolf-'));
try {
  const program = process.env.REAL_PARSER ?? built();
  const asked = [...texts, ...mutatedTexts(Number(values.texts), Number(values.seed))];
  const { status, stdout, stderr } = spawnSync(program, {
    input: asked.map((text) => `${JSON.stringify(text)}\n`).join(''),
    encoding: 'utf8',
    maxBuffer: 1024 ** 3,
  });
  if (status !== 0) throw new Error(`the real parser failed: ${stderr}`);
  const printed = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  let differing = 0;
  for (const [place, text] of asked.entries()) {
    const difference = differenceOf(text, printed[place]);
    if (difference !== undefined && ++differing <= 20) console.log(`${text.join(' ')}\n  ${difference}`);
  }
  const taken = printed.filter((text) => text !== null).length;
  console.log(`${asked.length} texts, ${taken} of them taken by the real parser: ${differing} differences`);
  if (values.write) {
    const cases = asked.slice(0, texts.length + NOTED).map((text, place) => [...text, printed[place]]);
    writeFileSync(
      join(golden, 'real.json'),
      `{"cases":[\n${cases.map((item) => JSON.stringify(item)).join(',\n')}\n]}\n`,
    );
  }
  process.exitCode = differing === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
