import {
  type CompletedCommand,
  type CompletedOption,
  type CompletedValue,
  quoted,
  withDescendants,
} from './completed-command.js';

/**
 * Returns the completion of a command for zsh: a file for a folder of `fpath`, as `_coxswain`, that may also be sourced
 * after compinit.
 */
export function zshCompletion(root: CompletedCommand): string {
  return `#compdef coxswain
# Completion of coxswain for zsh. Made by: coxswain completion zsh

__coxswain_names() {
  names=("\${(@f)$("\${__coxswain_words[1]/#\\~/$HOME}" completion tables -- "\${(@Q)__coxswain_words[2,-1]}" 2>/dev/null)}")
  names=("\${(@)names:#}")
}

__coxswain_table() {
  local -a names expl
  __coxswain_names
  _wanted tables expl table compadd -a names
}

# Tables separated by commas.
__coxswain_tables() {
  local -a names expl
  __coxswain_names
  compset -P '*,'
  _wanted tables expl table compadd -qS , -a names
}

${[...withDescendants(root)].map(commandFunction).join('\n\n')}

_coxswain() {
  local -a __coxswain_words
  # The words before the cursor, which say what cluster to ask.
  __coxswain_words=("\${(@)words[1,CURRENT-1]}")
  __coxswain
}

if [[ $funcstack[1] == _coxswain ]]; then
  _coxswain "$@"
else
  compdef _coxswain coxswain
fi
`;
}

function functionName(path: string): string {
  return path === '' ? '__coxswain' : `__coxswain_of_${path.replace(/\W/g, '_')}`;
}

function commandFunction({ path, commands, options, arguments: own }: CompletedCommand): string {
  const specs = options.flatMap(optionSpecs);
  if (commands.length === 0) {
    for (const [index, value] of own.entries()) specs.push(quoted(`${index + 1}:: :${action(value)}`));
    return `${functionName(path)}() {
  _arguments -s -S \\
    ${specs.join(' \\\n    ')}
}`;
  }
  const described = commands.map(({ name, description }) =>
    quoted(`${name}:${description.replace(/[\\:]/g, '\\$&')}`),
  );
  const branches = commands.map((command) => `        ${command.name}) ${functionName(command.path)} ;;`);
  return `${functionName(path)}() {
  local context state state_descr line expl curcontext=$curcontext
  local -A opt_args
  local -a commands
  _arguments -C -S \\
    ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')} && return
  case $state in
    command)
      commands=(
        ${described.join('\n        ')}
      )
      _describe -t commands command commands
      ;;
    rest)
      case $line[1] in
${branches.join('\n')}
      esac
      ;;
  esac
}`;
}

/** Returns the specifications of an option for _arguments, one for each of its names. */
function optionSpecs({ names, description, placeholder, value, isValueOptional }: CompletedOption): string[] {
  const others = names.length > 1 ? `(${names.join(' ')})` : '';
  const explanation = `[${description.replace(/[\\[\]]/g, '\\$&')}]`;
  return names.map((name) => {
    if (value === undefined) return quoted(`${others}${name}${explanation}`);
    const word = placeholder.replace(/[\\:]/g, '\\$&');
    const isLong = name.startsWith('--');
    if (isValueOptional) return quoted(`${name}=-${explanation}::${word}:${action(value)}`);
    return quoted(`*${name}${isLong ? '=' : '+'}${explanation}:${word}:${action(value)}`);
  });
}

function action(value: CompletedValue): string {
  switch (value.kind) {
    case 'words':
      return `(${value.words.join(' ')})`;
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'table':
      return '__coxswain_table';
    case 'tables':
      return '__coxswain_tables';
    case 'unknown':
      // A message in place of words would keep _arguments from inserting an option that it found.
      return '{:}';
  }
}
