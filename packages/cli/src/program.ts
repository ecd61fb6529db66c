import { CommanderError } from 'commander';
import { CommandError, ExitCode } from './exit.js';

/** Runs the command line and resolves with the exit code. An error becomes one line on stderr. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  try {
    await start(argv);
    return ExitCode.Done;
  } catch (error) {
    return await report(error);
  }
}

/** Starts a command. A node loads no other command, and they load no server: modules are most of what a start takes. */
async function start(argv: readonly string[]): Promise<void> {
  const [, , name, ...rest] = argv;
  if (name === 'leader' || name === 'follower') {
    const { runNode } = await import('./commands/node.js');
    await runNode(name, rest);
    return;
  }
  const { program } = await import('./commands/root.js');
  const commands = await program(name);
  await commands.parseAsync([...argv]);
}

async function report(error: unknown): Promise<ExitCode> {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return ExitCode.Done;
    // Commander shows the help of a group that was called without a command, and has nothing to add.
    if (error.code !== 'commander.help') {
      const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
      print(`${message}: see coxswain --help`);
    }
    return ExitCode.Usage;
  }
  if (error instanceof CommandError) {
    print(error.message);
    return error.exitCode;
  }
  const { describeFailedCall } = await import('./failed-call.js');
  const { describeFileError } = await import('./file-error.js');
  const described = describeFailedCall(error) ?? describeFileError(error);
  print(described ?? (error instanceof Error ? error.message : String(error)));
  return ExitCode.Failed;
}

function print(message: string): void {
  process.stderr.write(`coxswain: ${message.replace(/\s*\n\s*/g, ' ')}\n`);
}
