/** A value that `writeJson` can write. Integers beyond 2^53 are bigints; keys keep their order. */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** Characters that Go's encoding/json escapes and `JSON.stringify` does not. */
const escapedByGo = /[<>&\u2028\u2029]/g;

/**
 * Writes JSON as Go's encoding/json does, byte for byte. A bigint becomes a number with all its digits. `indent` is the
 * number of spaces for each level, as in Go's MarshalIndent; 0 writes one line.
 */
export function writeJson(value: Json, indent = 0): string {
  return write(value, indent, '');
}

function write(value: Json, indent: number, before: string): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return writeText(value);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const inner = before + ' '.repeat(indent);
  const parts = Array.isArray(value)
    ? value.map((part: Json) => write(part, indent, inner))
    : Object.entries(value).map(
        ([key, part]) => `${writeText(key)}:${indent > 0 ? ' ' : ''}${write(part, indent, inner)}`,
      );
  if (parts.length === 0) return open! + close!;
  if (indent === 0) return `${open}${parts.join(',')}${close}`;
  return `${open}\n${parts.map((part) => inner + part).join(',\n')}\n${before}${close}`;
}

function writeText(text: string): string {
  const escaped = (character: string): string =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(text).replace(escapedByGo, escaped);
}
