import { ExitCode } from './exit.js';
import { run } from './program.js';

// All that this command writes (logs and tables, LevelDB's own files among them, backups, archives) holds people's
// data, and belongs to its owner alone.
process.umask(0o077);

// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(ExitCode.Done);
  process.stderr.write(`coxswain: stdout cannot be written to: ${error.code ?? error.message}\n`);
  process.exit(ExitCode.Failed);
});

const exitCode = await run(process.argv);
// A handshake that a node never answers would keep the process for ever, so this waits until the output is written, and
// for nothing else.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)));
