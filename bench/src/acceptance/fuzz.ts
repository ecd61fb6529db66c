import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AcceptanceCheck, Measurement } from './check.js';

const RUNS = 100_000;
const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));

/** The properties that tests try with a few inputs, whatever is sent to a node by strangers: with very many. */
export const fuzz: AcceptanceCheck = {
  name: 'fuzz',
  async run(): Promise<Measurement[]> {
    const output = await runTests();
    const passed = Number(/^Tests:.*?(\d+) passed/m.exec(output)?.[1] ?? 0);
    const failed = Number(/^Tests:.*?(\d+) failed/m.exec(output)?.[1] ?? 0);
    const isMet = passed > 0 && failed === 0;
    if (!isMet) console.error(output);
    return [
      {
        what: `properties of what strangers send, ${RUNS} inputs each`,
        target: 'all hold',
        measured: `${passed} hold, ${failed} do not`,
        isMet,
      },
    ];
  },
};

/** What Jest says, whatever comes of it. */
function runTests(): Promise<string> {
  const jest = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js'];
  // With the collector in the test's hands it can tell what an input leaves behind.
  const args = ['--expose-gc', ...jest, '--runInBand', '--testTimeout', '1800000', 'fuzz\\.test\\.js$'];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: REPOSITORY,
      env: { ...process.env, COXSWAIN_FUZZ_RUNS: String(RUNS) },
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
