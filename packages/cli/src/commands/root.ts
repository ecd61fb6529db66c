import { Command } from 'commander';
import { prepare } from '../command-line.js';
import { version } from '../version.js';
import { archiveCommand } from './archive.js';
import { backupCommand } from './backup.js';
import { benchCommand } from './bench.js';
import { clusterCommands } from './cluster.js';
import { dataCommands } from './data.js';
import { dumpCommands } from './dump.js';
import { maintenanceCommands } from './maintenance.js';
import { playgroundCommand } from './playground.js';
import { restoreCommand } from './restore.js';

/** All commands under one name. */
export function program(): Command {
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

/** What program.ts mostly runs without loading any of these. */
function nodeCommand(role: 'leader' | 'follower'): Command {
  return new Command(role)
    .description(`run one node of a ${role} cluster`)
    .argument('[options...]', `see coxswain ${role} --help`)
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .action(async (argv: string[]) => {
      const { runNode } = await import('./node.js');
      await runNode(role, argv);
    });
}
