import { type CompletedCommand, type CompletedOption, withDescendants } from './completed-command.js';

/** Returns the completion of a command for fish, from 3.0 on. */
export function fishCompletion(root: CompletedCommand): string {
  const all = [...withDescendants(root)];
  const paths = all.filter(({ path }) => path !== '').map(({ path }) => fishQuoted(path));
  const valued = all.flatMap(({ options }) =>
    options
      .filter(({ value, isValueOptional }) => value !== undefined && !isValueOptional)
      .flatMap(({ names }) => names),
  );
  return `# Completion of coxswain for fish. Made by: coxswain completion fish

# Prints the command that stands before the cursor, without coxswain, and on a second line the number of its arguments.
function __coxswain_place
    set -l paths ${paths.join(' ')}
    set -l valued ${[...new Set(valued)].join(' ')}
    set -l words (commandline -opc)
    set -l path ''
    set -l place 0
    set -l takes_value 0
    for word in $words[2..-1]
        if test $takes_value = 1
            set takes_value 0
        else if string match -q -- '-*' $word
            contains -- $word $valued; and set takes_value 1
        else if contains -- (string trim -- "$path $word") $paths
            set path (string trim -- "$path $word")
        else
            set place (math $place + 1)
        end
    end
    echo $path
    echo $place
end

# Whether the cursor stands after this command, and before an argument with this number if one is given.
function __coxswain_at
    set -l now (__coxswain_place)
    test "$now[1]" = "$argv[1]"; and begin
        test (count $argv) -lt 2; or test $now[2] = $argv[2]
    end
end

function __coxswain_tables
    set -l words (commandline -opc)
    command $words[1] completion tables -- $words[2..-1] 2>/dev/null
end

complete -c coxswain -f
${all.flatMap(completionsOf).join('\n')}
`;
}

function completionsOf({ path, commands, options, arguments: own }: CompletedCommand): string[] {
  const at = `__coxswain_at ${path === '' ? '""' : `"${path}"`}`;
  const ofCommands = commands.map(({ name, description }) =>
    line(`${at} 0`, `-a ${fishQuoted(name)}`, description),
  );
  const ofArguments = own.flatMap((value, place) => {
    if (value.kind === 'table') return [line(`${at} ${place}`, "-a '(__coxswain_tables)'", 'Table')];
    if (value.kind !== 'words') return [];
    return [line(`${at} ${place}`, `-a ${fishQuoted(value.words.join(' '))}`)];
  });
  const ofOptions = options.map((option) => line(at, optionFlags(option), option.description));
  return [...ofCommands, ...ofArguments, ...ofOptions];
}

function line(condition: string, what: string, description?: string): string {
  const about = description === undefined ? '' : ` -d ${fishQuoted(description)}`;
  return `complete -c coxswain -n '${condition}' ${what}${about}`;
}

function optionFlags({ names, value, isValueOptional }: CompletedOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const needs = isValueOptional ? '' : ' -r';
  switch (value?.kind) {
    case undefined:
      return flags.join(' ');
    case 'words':
      return `${flags.join(' ')}${needs} -f -a ${fishQuoted(value.words.join(' '))}`;
    case 'file':
      return `${flags.join(' ')}${needs} -F`;
    case 'directory':
      return `${flags.join(' ')}${needs} -f -a '(__fish_complete_directories (commandline -ct))'`;
    case 'table':
      return `${flags.join(' ')}${needs} -f -a '(__coxswain_tables)'`;
    case 'tables':
      return `${flags.join(' ')}${needs} -f -a '(__fish_append , (__coxswain_tables))'`;
    case 'unknown':
      return `${flags.join(' ')}${needs} -f`;
  }
}

function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
