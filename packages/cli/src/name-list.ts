import { usageError } from './exit.js';

/**
 * Parses a list of names such as `a,b`. A name that contains a comma, or begins with a double quote, is written in
 * double quotes, within which two of them stand for one: `"x,y",z`. Throws a usage error that begins with `flag`.
 */
export function parseNames(flag: string, text: string): string[] {
  const names: string[] = [];
  const item = /("(?:[^"]|"")*"|[^",][^,]*|)(,|$)/suy;
  while (item.lastIndex <= text.length) {
    const match = item.exec(text);
    if (match === null) {
      throw usageError(
        `${flag}: a name that holds a comma or begins with a double quote is written in double quotes, such as '"x,y",z'`,
      );
    }
    const [, name = '', separator] = match;
    if (name !== '') names.push(name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name);
    if (separator === '') return names;
  }
  return names;
}
