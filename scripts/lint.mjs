// `npm run lint`: every rule that a machine can check, in the order in which failures are cheapest to mend.
// One line per step; the output of the first step that fails, and exit code 1.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folderOf, layers } from './layers.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = join(root, 'node_modules', '.bin');
const workspaces = Object.keys(layers).map(folderOf);

const steps = [
  { name: 'types', command: [join(bin, 'tsc'), '-b'] },
  { name: 'format and style', command: [join(bin, 'biome'), 'ci', '--error-on-warnings'] },
  {
    name: 'import rules',
    command: [
      join(bin, 'depcruise'),
      '--config',
      '.dependency-cruiser.mjs',
      ...workspaces.map((folder) => `${folder}/dist`),
      'scripts',
    ],
  },
  { name: 'circles', command: [process.execPath, 'scripts/check-circles.mjs'] },
  { name: 'repository', command: [process.execPath, 'scripts/check-repository.mjs'] },
  { name: 'citations', command: [process.execPath, 'scripts/check-citations.mjs'] },
  { name: 'dead code', command: [join(bin, 'knip')] },
  { name: 'proto style', command: [join(bin, 'buf'), 'lint'] },
  { name: 'proto compatibility', command: [join(bin, 'buf'), 'breaking', '--against', 'proto/frozen.binpb'] },
  { name: 'generated code', command: [process.execPath, 'scripts/generate.mjs', '--check'] },
  { name: 'page of errors', command: [process.execPath, 'scripts/generate-errors.mjs', '--check'] },
  { name: 'page of events', command: [process.execPath, 'scripts/generate-events.mjs', '--check'] },
  { name: 'page of options', command: [process.execPath, 'scripts/generate-configuration.mjs', '--check'] },
  { name: 'page of metrics', command: [process.execPath, 'scripts/generate-metrics.mjs', '--check'] },
  { name: 'dashboards', command: [process.execPath, 'scripts/generate-dashboards.mjs', '--check'] },
];

for (const { name, command } of steps) {
  const startedMs = performance.now();
  const [program, ...args] = command;
  const { status, error, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  const tookSeconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (error || status !== 0) {
    console.log(`${name}: FAILED (${tookSeconds} s)`);
    console.log(error ? String(error) : `${stdout}${stderr}`.trimEnd());
    process.exit(1);
  }
  console.log(`${name}: ok (${tookSeconds} s)`);
}
