import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './check.js';

const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));

/** Tests of `npm test`, run at a larger size. */
export interface LargeTests {
  readonly what: string;
  /** Expressions for the paths of their files. */
  readonly files: readonly string[];
  /** What makes them large. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Runs the tests one file at a time. All of them must pass. */
export async function runLarge({ what, files, environment }: LargeTests): Promise<Measurement> {
  const output = await runJest(files, environment);
  const passed = Number(/^Tests:.*?(\d+) passed/m.exec(output)?.[1] ?? 0);
  const failed = Number(/^Tests:.*?(\d+) failed/m.exec(output)?.[1] ?? 0);
  // A file that cannot be loaded has no test that fails.
  const isMet = passed > 0 && failed === 0 && !/^Test Suites:.*failed/m.test(output);
  if (!isMet) console.error(output);
  return { what, target: 'all hold', measured: `${passed} hold, ${failed} do not`, isMet };
}

/** What Jest says, whatever comes of it. */
function runJest(files: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  // With the collector in the test's hands it can tell what an input leaves behind. The reporter of `npm test` would end
  // a file that takes as long as these may.
  const args = [
    '--expose-gc',
    'node_modules/jest/bin/jest.js',
    '--runInBand',
    '--reporters=default',
    // Else Jest takes the files for more reporters.
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
