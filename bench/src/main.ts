import { writeFileSync } from 'node:fs';
import { runBenchmark } from './benchmark.js';
import { parseOptions, USAGE, UsageError } from './options.js';
import { Cleanup } from './process/cleanup.js';
import { formatReport } from './report.js';

/**
 * Resolves with the exit code that shells expect when a signal asks the process to end, and rejects with an error that
 * nothing else has caught: either way everything that was started is stopped before the process ends.
 */
function interrupted(): Promise<number> {
  return new Promise((resolve, reject) => {
    process.once('SIGINT', () => resolve(130));
    process.once('SIGTERM', () => resolve(143));
    process.once('uncaughtException', reject);
  });
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(USAGE);
    return 0;
  }
  const options = parseOptions(args);
  const cleanup = new Cleanup();

  async function measure(): Promise<number> {
    const report = await runBenchmark(options, cleanup, (line) => console.error(line));
    console.log(formatReport(report));
    if (options.jsonFile !== undefined)
      writeFileSync(options.jsonFile, `${JSON.stringify(report, null, 2)}\n`);
    return 0;
  }

  try {
    return await Promise.race([measure(), interrupted()]);
  } finally {
    await cleanup.run();
  }
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof UsageError) console.error('Try --help.');
  process.exit(error instanceof UsageError ? 2 : 1);
}
