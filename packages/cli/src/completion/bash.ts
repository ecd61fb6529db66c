import { type CompletedCommand, type CompletedValue, quoted, withDescendants } from './completed-command.js';

/**
 * Returns the completion of a command for bash, from 3.2 on, which macOS has. It needs no other package: it splits the line
 * at blanks itself, because bash splits words at `=` and `:` too.
 */
export function bashCompletion(root: CompletedCommand): string {
  const all = [...withDescendants(root)];
  const commands = all
    .filter((command) => command.commands.length > 0)
    .map(
      ({ path, commands: children }) =>
        `    ${quoted(path)}) commands=${quoted(children.map(({ name }) => name).join(' '))} ;;`,
    );
  const options = all.map(
    ({ path, options: own }) =>
      `    ${quoted(path)}) options=${quoted(own.flatMap(({ names }) => names).join(' '))} ;;`,
  );
  return `# Completion of coxswain for bash. Made by: coxswain completion bash

_coxswain_commands() {
  case $1 in
${commands.join('\n')}
    *) commands='' ;;
  esac
}

_coxswain_options() {
  case $1 in
${options.join('\n')}
    *) options='' ;;
  esac
}

# The values of an option of a command: words, or the name of their kind. Empty where no value follows.
_coxswain_option_value() {
  case "$1 $2" in
${cases(optionValues(all))}
    *) value='' ;;
  esac
}

# The values of an argument of a command, by its place from 0 on.
_coxswain_argument_value() {
  case "$1 $2" in
${cases(argumentValues(all))}
    *) value='' ;;
  esac
}

_coxswain() {
  local line=\${COMP_LINE:0:COMP_POINT} path='' option='' place=0 commands options value word name i
  local -a words names
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local last=$((\${#words[@]} - 1))
  local current=\${words[last]} before=''
  for ((i = 1; i < last; i++)); do
    word=\${words[i]}
    if [[ -n $option ]]; then
      option=''
      continue
    fi
    case $word in
      -*)
        _coxswain_option_value "$path" "$word"
        [[ -n $value ]] && option=$word
        ;;
      *)
        _coxswain_commands "$path"
        if [[ " $commands " == *" $word "* ]]; then path=\${path:+$path }$word; else place=$((place + 1)); fi
        ;;
    esac
  done
  if [[ -z $option && $current == --*=* ]]; then
    option=\${current%%=*}
    current=\${current#*=}
  fi
  COMPREPLY=()
  if [[ -n $option ]]; then
    _coxswain_option_value "$path" "$option"
    # A value that may be left out follows an equals sign alone.
    [[ -z $value ]] && _coxswain_option_value "$path" "$option="
  elif [[ $current == -* ]]; then
    _coxswain_options "$path"
    value="words $options"
  else
    _coxswain_commands "$path"
    _coxswain_argument_value "$path" "$place"
    [[ -n $commands ]] && value="words $commands"
  fi
  case $value in
    words\\ *) read -ra names <<<"\${value#words }" ;;
    file)
      compopt -o filenames 2>/dev/null
      while IFS= read -r name; do names+=("$name"); done < <(compgen -f -- "$current")
      ;;
    directory)
      compopt -o filenames 2>/dev/null
      while IFS= read -r name; do names+=("$name"); done < <(compgen -d -- "$current")
      ;;
    table | tables)
      # The names that stand before the one to complete stay.
      [[ $value == tables && $current == *,* ]] && before=\${current%,*},
      while IFS= read -r name; do
        printf -v name %q "$name"
        names+=("$before$name")
      done < <("\${words[0]/#\\~/$HOME}" completion tables -- "\${words[@]:1:last-1}" 2>/dev/null)
      ;;
  esac
  for name in "\${names[@]}"; do
    [[ $name == "$current"* ]] || continue
    # Readline replaces only what follows the last colon.
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && name=\${name#"\${current%:*}":}
    COMPREPLY+=("$name")
  done
}

complete -F _coxswain coxswain
`;
}

function optionValues(commands: readonly CompletedCommand[]): Map<string, string[]> {
  const patterns = new Map<string, string[]>();
  for (const { path, options } of commands) {
    for (const { names, value, isValueOptional } of options) {
      if (value === undefined) continue;
      for (const name of names) {
        add(patterns, bashValue(value), `${path} ${name}${isValueOptional ? '=' : ''}`);
      }
    }
  }
  return patterns;
}

function argumentValues(commands: readonly CompletedCommand[]): Map<string, string[]> {
  const patterns = new Map<string, string[]>();
  for (const { path, arguments: own } of commands) {
    for (const [place, value] of own.entries()) {
      if (value.kind !== 'unknown') add(patterns, bashValue(value), `${path} ${place}`);
    }
  }
  return patterns;
}

function add(patterns: Map<string, string[]>, value: string, pattern: string): void {
  patterns.set(value, [...(patterns.get(value) ?? []), pattern]);
}

function bashValue(value: CompletedValue): string {
  return value.kind === 'words' ? `words ${value.words.join(' ')}` : value.kind;
}

function cases(patterns: ReadonlyMap<string, readonly string[]>): string {
  return [...patterns]
    .map(([value, of]) => `    ${of.map(quoted).join(' | ')}) value=${quoted(value)} ;;`)
    .join('\n');
}
