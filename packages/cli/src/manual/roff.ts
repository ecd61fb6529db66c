/** The characters that roff reads as something else, or sets in another form, and its names for them as they are. */
const escapes: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
};

/** Writes a text so that roff shows it as it is, on any line. */
export function roffText(text: string): string {
  return text
    .replace(/[\\\-'`^~]/g, (character) => escapes[character]!)
    .replace(/[^\0-\x7f]/gu, (character) => {
      return `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`;
    })
    .replace(/^\./gm, '\\&.');
}

/** Writes a text in bold type. */
export function bold(text: string): string {
  return `\\fB${roffText(text)}\\fR`;
}

/** Writes the usage of a command, or an option with its value: what a user puts in place of a word is in italics. */
export function usageText(usage: string): string {
  return usage
    .split(/([<[][^\s<>[\]]+[>\]])/)
    .map((part, index) => {
      if (index % 2 === 0) return part.replace(/\S+/g, (word) => (word === ',' ? word : bold(word)));
      const [open, close] = [part[0]!, part.at(-1)!];
      return `${roffText(open === '[' ? open : '')}\\fI${roffText(part.slice(1, -1))}\\fR${close === ']' ? close : ''}`;
    })
    .join('');
}

/** Writes the heading of a section. */
export function section(title: string): string {
  return `.SH ${title.toUpperCase()}`;
}

/** Writes a term and what it means. */
export function tagged(term: string, meaning: string): string {
  return `.TP\n${term}\n${roffText(meaning)}`;
}

/** Writes lines that are shown as they are, in a box of their own. */
export function verbatim(lines: readonly string[]): string {
  return ['.PP', '.RS 4', '.nf', ...lines.map(roffText), '.fi', '.RE'].join('\n');
}

/** Writes paragraphs, which stand apart by empty lines; those that are indented are shown as they are. */
export function paragraphs(text: string): string {
  return text
    .split(/\n{2,}/)
    .map((part) => part.replace(/^\n+|\s+$/g, ''))
    .filter((part) => part !== '')
    .map((part) => {
      const lines = part.split('\n');
      if (lines.every((line) => line.startsWith('  '))) return verbatim(lines.map((line) => line.slice(2)));
      return `.PP\n${roffText(part)}`;
    })
    .join('\n');
}
