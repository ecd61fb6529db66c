// Jest's reporter for `npm test`: one line per file as it ends, with how many of all have ended, and what failed in
// full. Jest's own summary follows. It also ends a run in which something hangs, and says what: no test's verdict depends
// on a clock, so nothing else would.
import { relative } from 'node:path';

/** Some ten times what the longest takes on two cores that are kept busy. */
const HANG_MS = 1_200_000;

function sourceOf({ context, path }) {
  return relative(context.config.rootDir, path)
    .replace('/dist/', '/')
    .replace(/[.]js$/, '.ts');
}

export default class ProgressReporter {
  #ended = 0;
  #running = new Set();
  #notTried = [];
  #hang;

  onRunStart() {
    this.#hang = setTimeout(() => {
      const files = [...this.#running].map(sourceOf).join(', ');
      process.stderr.write(
        `FAIL: no file has ended for ${HANG_MS / 60_000} minutes; still running: ${files}\n`,
      );
      process.exit(1);
    }, HANG_MS);
  }

  onRunComplete() {
    clearTimeout(this.#hang);
    for (const title of this.#notTried) process.stderr.write(`${title}\n`);
  }

  onTestFileStart(test) {
    this.#running.add(test);
  }

  onTestResult(test, result, { numTotalTestSuites }) {
    this.#ended++;
    this.#running.delete(test);
    this.#hang.refresh();
    // What this machine lacks is no failure, and no success either: such a test says so with its title.
    const titles = result.testResults.map(({ title }) => title);
    this.#notTried.push(...titles.filter((title) => title.startsWith('not tried')));
    const hasFailed = result.numFailingTests > 0 || Boolean(result.testExecError);
    const width = String(numTotalTestSuites).length;
    const count = `${String(this.#ended).padStart(width)}/${numTotalTestSuites}`;
    const seconds = (result.perfStats.runtime / 1000).toFixed(1).padStart(6);
    process.stderr.write(`${count} ${hasFailed ? 'FAIL' : 'ok  '} ${seconds} s  ${sourceOf(test)}\n`);
    if (hasFailed) process.stderr.write(`${result.failureMessage ?? result.testExecError?.stack ?? ''}\n`);
  }
}
