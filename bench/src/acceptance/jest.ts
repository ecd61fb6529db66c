import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './check.js';

const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));

/** Tests of `npm test` that are run at a larger size. */
export interface LargeTests {
  readonly what: string;
  /** Expressions that match the paths of the test files. */
  readonly files: readonly string[];
  /** The environment variables that make the tests large. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Runs the tests one file at a time. The measurement is met when all of them pass. */
export async function runLarge({ what, files, environment }: LargeTests): Promise<Measurement> {
  const output = await runJest(files, environment);
  const passed = Number(/^Tests:.*?(\d+) passed/m.exec(output)?.[1] ?? 0);
  const failed = Number(/^Tests:.*?(\d+) failed/m.exec(output)?.[1] ?? 0);
  // A file that cannot be loaded has no failing test, only a failed suite.
  const isMet = passed > 0 && failed === 0 && !/^Test Suites:.*failed/m.test(output);
  if (!isMet) console.error(output);
  return { what, target: 'all hold', measured: `${passed} hold, ${failed} do not`, isMet };
}

/** Resolves with Jest's output, whether tests pass or fail. */
function runJest(files: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  // Tests call the collector to see what an input leaves in memory. The reporter of `npm test` would end a file that
  // takes as long as these may.
  const args = [
    '--expose-gc',
    'node_modules/jest/bin/jest.js',
    '--runInBand',
    '--reporters=default',
    // Without this, Jest takes the files for more reporters.
    '--',
    ...files,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: REPOSITORY,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('error', reject);
    child.once('close', () => resolve(output));
  });
}
