import { Command } from 'commander';
import { prepare } from '../command-line.js';
import { version } from '../version.js';

/** Commands that come from one module. */
interface CommandGroup {
  readonly names: readonly string[];
  load(): Promise<Command[]>;
}

/** All commands, in the order in which help shows them. Each group is loaded for its own commands, and for help. */
const groups: readonly CommandGroup[] = [
  {
    names: ['leader', 'follower'],
    load: async () => [nodeCommand('leader'), nodeCommand('follower')],
  },
  {
    names: ['playground'],
    load: async () => [(await import('./playground.js')).playgroundCommand()],
  },
  {
    names: ['get', 'range', 'put', 'del', 'txn'],
    load: async () => (await import('./data.js')).dataCommands(),
  },
  {
    names: ['dump', 'load'],
    load: async () => (await import('./dump.js')).dumpCommands(),
  },
  {
    names: ['tables', 'members', 'status', 'health'],
    load: async () => (await import('./cluster.js')).clusterCommands(),
  },
  {
    names: ['events'],
    load: async () => [(await import('./events.js')).eventsCommand()],
  },
  {
    names: ['backup'],
    load: async () => [(await import('./backup.js')).backupCommand()],
  },
  {
    names: ['restore'],
    load: async () => [(await import('./restore.js')).restoreCommand()],
  },
  {
    names: ['archive'],
    load: async () => [(await import('./archive.js')).archiveCommand()],
  },
  {
    names: ['reset', 'promote', 'clone'],
    load: async () => (await import('./maintenance.js')).maintenanceCommands(),
  },
  {
    names: ['bench'],
    load: async () => [(await import('./bench.js')).benchCommand()],
  },
  {
    // The flag --version needs no command at all.
    names: ['version', '--version'],
    load: async () => [
      new Command('version').description('Show the version.').action(() => {
        process.stdout.write(`coxswain ${version} (node ${process.version})\n`);
      }),
    ],
  },
];

/**
 * Makes the root command with the commands of the group that has `name`, a fraction of all that would have to be
 * loaded. It has all commands when no group has the name, as for help or a command that does not exist.
 */
export async function program(name: string | undefined): Promise<Command> {
  const root = new Command('coxswain')
    .description("A Raft-replicated key-value database that speaks Regatta's API.")
    .enablePositionalOptions()
    .version(version, '--version', 'Show the version.');
  const named = groups.filter(({ names }) => name !== undefined && names.includes(name));
  const loaded = await Promise.all((named.length > 0 ? named : groups).map((group) => group.load()));
  for (const command of loaded.flat()) root.addCommand(command);
  prepare(root);
  // The --help of these two lists the options of a node, and comes from node.ts.
  for (const command of root.commands) {
    if (command.name() === 'leader' || command.name() === 'follower') command.helpOption(false);
  }
  return root;
}

/** Makes a node's command for the help; program.ts mostly runs a node without loading any of these. */
function nodeCommand(role: 'leader' | 'follower'): Command {
  return new Command(role)
    .description(`Run one node of a ${role} cluster.`)
    .argument('[options...]', `Shown by coxswain ${role} --help.`)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (argv: string[]) => {
      const { runNode } = await import('./node.js');
      await runNode(role, argv);
    });
}
