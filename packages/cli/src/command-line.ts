import type { Command } from 'commander';

/** Makes a command's errors come back to the caller, instead of being printed in commander's own way. */
export function prepare(command: Command): Command {
  command.exitOverride();
  command.configureOutput({ outputError: () => undefined });
  command.allowExcessArguments(false);
  for (const child of command.commands) prepare(child);
  return command;
}
