import { CoxswainError, StatusCode } from '@coxswain/client';
import { Command, CommanderError } from 'commander';
import { prepare } from './command-line.js';
import { archiveCommand } from './commands/archive.js';
import { backupCommand } from './commands/backup.js';
import { benchCommand } from './commands/bench.js';
import { clusterCommands } from './commands/cluster.js';
import { dataCommands } from './commands/data.js';
import { dumpCommands } from './commands/dump.js';
import { maintenanceCommands } from './commands/maintenance.js';
import { playgroundCommand } from './commands/playground.js';
import { restoreCommand } from './commands/restore.js';
import { CommandError, ExitCode } from './exit.js';
import { version } from './version.js';

/** Runs the command line and gives the exit code. Errors are one line on stderr. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  try {
    await program().parseAsync([...argv]);
    return ExitCode.Done;
  } catch (error) {
    return report(error);
  }
}

function program(): Command {
  const root = new Command('coxswain')
    .description("A Raft-replicated key-value database that speaks Regatta's API")
    .enablePositionalOptions()
    .version(version, '--version', 'show the version');
  const commands = [
    nodeCommand('leader'),
    nodeCommand('follower'),
    playgroundCommand(),
    ...dataCommands(),
    ...dumpCommands(),
    ...clusterCommands(),
    backupCommand(),
    restoreCommand(),
    archiveCommand(),
    ...maintenanceCommands(),
    benchCommand(),
    new Command('version').description('show the version').action(() => {
      process.stdout.write(`coxswain ${version} (node ${process.version})\n`);
    }),
  ];
  for (const command of commands) root.addCommand(command);
  prepare(root);
  return root;
}

/** The server is loaded for the command that runs one: the others start in a third of the time without it. */
function nodeCommand(role: 'leader' | 'follower'): Command {
  return new Command(role)
    .description(`run one node of a ${role} cluster`)
    .argument('[options...]', `see coxswain ${role} --help`)
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .action(async (argv: string[]) => {
      const { runNode } = await import('./commands/node.js');
      await runNode(role, argv);
    });
}

function report(error: unknown): ExitCode {
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
  if (error instanceof CoxswainError) {
    print(describe(error));
    return ExitCode.Failed;
  }
  print(error instanceof Error ? error.message : String(error));
  return ExitCode.Failed;
}

/** What the server said and where, with what to do about it where that is known. */
function describe({ code, errorCode, message, endpoint }: CoxswainError): string {
  if (errorCode === 'noConnection') return message;
  const advice: Partial<Record<StatusCode, string>> = {
    [StatusCode.UNAVAILABLE]: ': try again, and see coxswain health',
    [StatusCode.UNAUTHENTICATED]: ': give the right --token',
  };
  // A stock server sends no codes.
  if (errorCode === 'tableNotFound' || message === 'table not found')
    return `${message} (${endpoint}): see coxswain tables list`;
  return `${message} (${endpoint})${advice[code] ?? ''}`;
}

function print(message: string): void {
  process.stderr.write(`coxswain: ${message.replace(/\s*\n\s*/g, ' ')}\n`);
}
