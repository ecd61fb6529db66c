import { Command } from 'commander';
import { prepare } from '../command-line.js';
import { nodeCommand } from './node.js';
import { program } from './root.js';

/**
 * Makes the root command with every command and every option: those of the nodes, too, which `program` leaves to node.ts.
 * For what is made from the tree, such as completions and manual pages; a command that runs needs a part of it alone.
 */
export async function wholeProgram(): Promise<Command> {
  const parts = await program(undefined);
  const root = new Command(parts.name()).description(parts.description()).enablePositionalOptions();
  for (const option of parts.options) root.addOption(option);
  for (const command of parts.commands) {
    const name = command.name();
    root.addCommand(name === 'leader' || name === 'follower' ? nodeCommand(name).name(name) : command);
  }
  return prepare(root);
}
