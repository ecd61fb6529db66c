import { type Command, Help, type Option } from 'commander';

/**
 * Makes a command throw its errors to the caller, instead of printing them in commander's own way, and words its help.
 */
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

/** Adds examples to the end of a command's help, each a line as a person would type it. */
export function withExamples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

/**
 * Describes an option for the help. That a switch is off and a list is empty unless they are given goes without saying.
 */
function describeOption(option: Option): string {
  const { defaultValue } = option as { readonly defaultValue?: unknown };
  const isImplied = defaultValue === false || (Array.isArray(defaultValue) && defaultValue.length === 0);
  return isImplied ? option.description : Help.prototype.optionDescription(option);
}

/** Groups the items of a help so that a command's own options come before those that it shares with others. */
function groupItems<Item extends Command | Option>(
  unsorted: Item[],
  visible: Item[],
  groupOf: (item: Item) => string,
): Map<string, Item[]> {
  const groups = Help.prototype.groupItems(unsorted, visible, groupOf);
  const isOwn = ([heading]: [string, Item[]]): boolean => heading === 'Options:';
  return new Map([...groups].sort((a, b) => Number(isOwn(b)) - Number(isOwn(a))));
}
