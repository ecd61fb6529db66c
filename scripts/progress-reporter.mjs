// Jest's reporter for `npm test`: one line per file as it ends, with how many of all have ended, and what failed in
// full. Jest's own summary follows.
import { relative } from 'node:path';

export default class ProgressReporter {
  #ended = 0;

  onTestResult(test, result, { numTotalTestSuites }) {
    this.#ended++;
    const hasFailed = result.numFailingTests > 0 || result.testExecError !== undefined;
    const width = String(numTotalTestSuites).length;
    const count = `${String(this.#ended).padStart(width)}/${numTotalTestSuites}`;
    const seconds = (result.perfStats.runtime / 1000).toFixed(1).padStart(6);
    const file = relative(test.context.config.rootDir, test.path)
      .replace('/dist/', '/')
      .replace(/[.]js$/, '.ts');
    process.stderr.write(`${count} ${hasFailed ? 'FAIL' : 'ok  '} ${seconds} s  ${file}\n`);
    if (hasFailed) process.stderr.write(`${result.failureMessage ?? result.testExecError?.stack ?? ''}\n`);
    for (const { message, origin } of result.console ?? []) process.stderr.write(`${message}\n${origin}\n`);
  }
}
