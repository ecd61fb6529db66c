import { ExitCode } from './exit.js';
import { run } from './program.js';

// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? ExitCode.Done : ExitCode.Failed);
});

process.exitCode = await run(process.argv);
