import type { Command, Option } from 'commander';
import { program } from '../commands/root.js';
import { wholeProgram } from '../commands/whole-program.js';
import { version } from '../version.js';
import { bold, paragraphs, roffText, section, tagged, usageText, verbatim } from './roff.js';

/** The date at the foot of the pages, which mandoc wants: change it with the version. */
const DATE = '2026-12-01';
/** The heading of a command's own options, as commander has it. */
const OWN_OPTIONS = 'Options:';

/** A page of the manual: the name of its file, and its text for roff. */
export interface ManualPage {
  readonly name: string;
  readonly text: string;
}

/**
 * Makes the pages of the manual, one for the program and one for each of its commands, from what `--help` is made of. A
 * command with commands of its own, such as `tables`, has one page with all of them.
 */
export async function manualPages(): Promise<ManualPage[]> {
  const root = wholeProgram(await program(undefined));
  const commands = root.commands.filter((command) => isVisible(root, command));
  const pages = commands.map((command) => page(`coxswain-${command.name()}`, command, commandParts(command)));
  return [page('coxswain', root, rootParts(root, commands)), ...pages];
}

/** Whether help shows a command of another one. The commands named help explain themselves. */
function isVisible(parent: Command, command: Command): boolean {
  return parent.createHelp().visibleCommands(parent).includes(command) && command.name() !== 'help';
}

function page(name: string, command: Command, parts: readonly string[]): ManualPage {
  const about = command.description().replace(/[.]$/, '');
  const text = [
    `.\\" Made from the program's own help: see packages/cli/src/manual.`,
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} 1 "${DATE}" "coxswain ${version}" "Coxswain"`,
    section('Name'),
    `${roffText(name)} \\- ${roffText(about[0]!.toLowerCase() + about.slice(1))}`,
    ...parts,
  ];
  // A heading begins a paragraph by itself.
  return { name: `${name}.1`, text: `${text.join('\n')}\n`.replace(/^(\.S[HS] .*)\n\.PP$/gm, '$1') };
}

function rootParts(root: Command, commands: readonly Command[]): string[] {
  return [
    section('Synopsis'),
    `${bold('coxswain')} \\fIcommand\\fR [\\fIarguments\\fR] [\\fIoptions\\fR]`,
    section('Description'),
    paragraphs(root.description()),
    paragraphs(
      'One command runs nodes and a playground of several, and is a client of clusters for people and scripts. Each command has a page of its own, and --help with the same text.',
    ),
    section('Commands'),
    ...commands.map((command) => tagged(`${bold(`coxswain-${command.name()}`)}(1)`, command.description())),
    section('Options'),
    ...optionItems(root, root.createHelp().visibleOptions(root)),
    section('Environment'),
    paragraphs(
      'Each of --endpoints, --cacert, --cert, --key, --token and --timeout can be set as COXSWAIN_ENDPOINTS and so on; flags win. The options of nodes are named as COXSWAIN_API_ADDRESS for api.address.',
    ),
    ...exitStatus(),
    section('See also'),
    commands.map((command) => `.BR coxswain\\-${roffText(command.name())} (1)`).join(',\n'),
  ];
}

function commandParts(command: Command): string[] {
  const leaves = command.commands.filter((child) => isVisible(command, child));
  const all = leaves.length > 0 ? leaves : [command];
  const isGroup = leaves.length > 0;
  const own = helpAfter(command);
  return [
    section('Synopsis'),
    all.map((leaf) => `.PP\n${usageText(usageOf(leaf, command))}`).join('\n'),
    section('Description'),
    paragraphs(command.description()),
    ...own.text,
    ...(isGroup ? [section('Commands')] : []),
    ...all.flatMap((leaf) => (isGroup ? subcommandParts(leaf, command) : optionSections([leaf], true))),
    ...(isGroup ? optionSections(all, false) : []),
    ...(own.examples.length > 0 ? [section('Examples'), verbatim(own.examples)] : []),
    ...exitStatus(),
    section('See also'),
    '.BR coxswain (1)',
  ];
}

function subcommandParts(leaf: Command, group: Command): string[] {
  const { text, examples } = helpAfter(leaf);
  const own = leaf
    .createHelp()
    .visibleOptions(leaf)
    .filter((option) => !isShared(option));
  return [
    `.SS ${usageText(usageOf(leaf, group))}`,
    paragraphs(leaf.description()),
    ...text,
    ...optionItems(
      leaf,
      own.filter(({ long }) => long !== '--help'),
    ),
    ...(examples.length > 0 ? [verbatim(examples)] : []),
  ];
}

const isShared = ({ helpGroupHeading }: Option): boolean =>
  helpGroupHeading !== undefined && helpGroupHeading !== OWN_OPTIONS;

/** Returns a section for each group of options; those that several commands share are there once. */
function optionSections(commands: readonly Command[], hasOwn: boolean): string[] {
  const sections = new Map<string, Map<string, string>>();
  for (const command of commands) {
    for (const option of command.createHelp().visibleOptions(command)) {
      if (!isShared(option) && !hasOwn) continue;
      const heading = (isShared(option) ? option.helpGroupHeading! : OWN_OPTIONS).replace(/:$/, '');
      const items = sections.get(heading) ?? new Map<string, string>();
      sections.set(heading, items.set(option.flags, optionItems(command, [option])[0]!));
    }
  }
  // A command's own come first, as in its help.
  const sorted = [...sections].sort(
    ([a], [b]) => Number(`${b}:` === OWN_OPTIONS) - Number(`${a}:` === OWN_OPTIONS),
  );
  return sorted.flatMap(([heading, items]) => [section(heading), ...items.values()]);
}

function optionItems(command: Command, options: readonly Option[]): string[] {
  const helper = command.createHelp();
  return options.map((option) =>
    tagged(usageText(helper.optionTerm(option)), helper.optionDescription(option)),
  );
}

/** Returns the usage of a command with the names of all above it, as `coxswain tables list [options]`. */
function usageOf(leaf: Command, command: Command): string {
  const names = leaf === command ? [command.name()] : [command.name(), leaf.name()];
  return ['coxswain', ...names, leaf.usage()].join(' ');
}

/** Returns the text that the help of a command shows after its options, and its examples, which come last. */
function helpAfter(command: Command): { readonly text: string[]; readonly examples: string[] } {
  let shown = '';
  const { writeOut } = command.configureOutput();
  command.configureOutput({ writeOut: (piece) => (shown += piece) });
  command.outputHelp();
  if (writeOut !== undefined) command.configureOutput({ writeOut });
  const after = shown.slice(command.helpInformation().length);
  const [text = '', examples = ''] = after.split(/^Examples:\n/m);
  return {
    text: text.trim() === '' ? [] : [paragraphs(text)],
    examples: examples
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.slice(2)),
  };
}

function exitStatus(): string[] {
  return [
    section('Exit status'),
    tagged('0', 'Done.'),
    tagged('1', 'The operation failed. One line on stderr says what to do.'),
    tagged('2', 'The command was called wrongly.'),
  ];
}
