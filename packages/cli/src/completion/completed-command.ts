import type { Argument, Command, Option } from 'commander';

/** The values that an option or an argument may have, as far as a shell can know them. */
export type CompletedValue =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** `table` is a name of a table of the cluster, `tables` a list of such names, separated by commas. */
  | { readonly kind: 'file' | 'directory' | 'table' | 'tables' | 'unknown' };

export interface CompletedOption {
  /** The names of the option with their dashes, such as `-o` and `--output`. */
  readonly names: readonly string[];
  readonly description: string;
  /** The word that stands for the value in the help, such as `file`. */
  readonly placeholder: string;
  /** The values that follow the option; undefined when none does. */
  readonly value?: CompletedValue;
  /** True when the value may be left out; it then follows an equals sign. */
  readonly isValueOptional: boolean;
}

/** A command with all that a shell may complete after it, taken from the tree that parses and describes commands. */
export interface CompletedCommand {
  readonly name: string;
  /** The names that lead to the command after `coxswain`, such as `tables list`; empty for the root. */
  readonly path: string;
  readonly description: string;
  readonly commands: readonly CompletedCommand[];
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly CompletedValue[];
}

/** Describes a command, and all under it, for a shell. Hidden commands and options are left out. */
export function completedCommand(command: Command, parentPath?: string): CompletedCommand {
  const helper = command.createHelp();
  const name = command.name();
  const path = parentPath === undefined ? '' : `${parentPath} ${name}`.trim();
  const options = helper.visibleOptions(command);
  const asksCluster = options.some((option) => option.long === '--endpoints');
  const children = helper.visibleCommands(command);
  const isHelp = (child: Command): boolean => child.name() === 'help';
  const commands = children.map((child) =>
    isHelp(child)
      ? helpOf(
          child,
          `${path} help`.trim(),
          children.filter((other) => !isHelp(other)),
        )
      : completedCommand(child, path),
  );
  return {
    name,
    path,
    description: helper.subcommandDescription(command),
    commands,
    options: options.map((option) => completedOption(option, asksCluster)),
    arguments: command.registeredArguments.map((argument) => argumentValue(argument, asksCluster)),
  };
}

/** Describes the command `help` of a group, which takes the name of a command of that group. */
function helpOf(help: Command, path: string, siblings: readonly Command[]): CompletedCommand {
  const words = siblings.map((sibling) => sibling.name());
  return {
    name: help.name(),
    path,
    description: help.description(),
    commands: [],
    options: [],
    arguments: [{ kind: 'words', words }],
  };
}

function completedOption(option: Option, asksCluster: boolean): CompletedOption {
  const { short, long, flags, description, required, optional } = option;
  const names = [short, long].filter((name) => name !== undefined);
  const placeholder = /[<[](.+?)(?:\.\.\.)?[>\]]$/.exec(flags)?.[1] ?? '';
  return {
    names,
    description,
    placeholder,
    ...((required || optional) && { value: optionValue(option, placeholder, asksCluster) }),
    isValueOptional: optional,
  };
}

function optionValue(
  { long, argChoices }: Option,
  placeholder: string,
  asksCluster: boolean,
): CompletedValue {
  if (argChoices !== undefined) return { kind: 'words', words: argChoices };
  // The options of nodes show their choices in place of a word.
  if (placeholder.includes('|')) return { kind: 'words', words: placeholder.split('|') };
  if (placeholder === 'file' || placeholder === 'directory') return { kind: placeholder };
  if (asksCluster && (long === '--table' || long === '--tables')) {
    return { kind: long === '--table' ? 'table' : 'tables' };
  }
  return { kind: 'unknown' };
}

function argumentValue(argument: Argument, asksCluster: boolean): CompletedValue {
  if (argument.argChoices !== undefined) return { kind: 'words', words: argument.argChoices };
  return { kind: asksCluster && argument.name() === 'table' ? 'table' : 'unknown' };
}

/** Yields a command and all commands under it. */
export function* withDescendants(command: CompletedCommand): Generator<CompletedCommand> {
  yield command;
  for (const child of command.commands) yield* withDescendants(child);
}

/** Quotes a text for the shells whose single quotes end at the next one: bash and zsh. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
