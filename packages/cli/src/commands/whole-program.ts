import { Command } from 'commander';
import { prepare } from '../command-line.js';
import { nodeCommand } from './node.js';

/**
 * Makes the root command with every option of every command from `parts`, the one with every command (`program` of root.ts),
 * which leaves those of the nodes to node.ts. For what is made from the tree, such as completions and manual pages; a command
 * that runs needs a part of it alone.
 */
export function wholeProgram(parts: Command): Command {
  const root = new Command(parts.name()).description(parts.description()).enablePositionalOptions();
  for (const option of parts.options) root.addOption(option);
  for (const command of parts.commands) {
    const name = command.name();
    root.addCommand(name === 'leader' || name === 'follower' ? nodeCommand(name).name(name) : command);
  }
  return prepare(root);
}
