import { type Command, Help, type Option } from 'commander';

/** Makes a command's errors come back to the caller, instead of being printed in commander's own way; words its help. */
export function prepare(command: Command): Command {
  command.exitOverride();
  command.configureOutput({ outputError: () => undefined });
  command.allowExcessArguments(false);
  command.configureHelp({ ...command.configureHelp(), optionDescription: describeOption, groupItems });
  command.helpOption('-h, --help', 'Show this help.');
  if (command.commands.length > 0) command.helpCommand('help [command]', 'Show the help of a command.');
  for (const child of command.commands) prepare(child);
  return command;
}

/** That a switch is off unless it is given, and a list empty, goes without saying. */
function describeOption(option: Option): string {
  const { defaultValue } = option as { readonly defaultValue?: unknown };
  const isImplied = defaultValue === false || (Array.isArray(defaultValue) && defaultValue.length === 0);
  return isImplied ? option.description : Help.prototype.optionDescription(option);
}

/** Shows the options of a command before those that it shares with others. */
function groupItems<Item extends Command | Option>(
  unsorted: Item[],
  visible: Item[],
  groupOf: (item: Item) => string,
): Map<string, Item[]> {
  const groups = Help.prototype.groupItems(unsorted, visible, groupOf);
  const isOwn = ([heading]: [string, Item[]]): boolean => heading === 'Options:';
  return new Map([...groups].sort((a, b) => Number(isOwn(b)) - Number(isOwn(a))));
}
