import { counted } from './counted.js';
import { failure } from './exit.js';

const NUMBER_SIGN = 0x23;

/**
 * The first line of the text that `coxswain dump` writes and `coxswain load` reads (docs/backup-and-recovery.md). The text
 * is ASCII, so that any tool can carry, sort and compare its lines:
 *
 *     # coxswain dump 1
 *     key<TAB>value
 *     # end 1
 *
 * In keys and values `\\` stands for a backslash, `\t`, `\n` and `\r` for those characters, and `\xNN` for any other byte
 * outside of 0x20 to 0x7e, and for a `#` that begins a key. A line that begins with `#` is a comment. The last line has the
 * number of pairs since the first one: without it, a file that was cut short would look like a whole one.
 */
export const DUMP_HEADER = '# coxswain dump 1';

/** Returns the last line of a dump, without the line feed. */
export function dumpEnd(pairCount: number): string {
  return `# end ${pairCount}`;
}

const shortEscapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
};
const escapedCharacters: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(shortEscapes).map(([character, text]) => [text.slice(1), character]),
);

/** Formats one pair as a line, without the line feed. */
export function formatPair(key: Buffer, value: Buffer): string {
  return `${writeEscapes(key).replace(/^#/, '\\x23')}\t${writeEscapes(value)}`;
}

function writeEscapes(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  return text.replace(/[^\x20-\x5b\x5d-\x7e]/g, (character) => {
    return shortEscapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** A line that `load` does not accept; the message continues "line N: ". */
export class MalformedLineError extends Error {
  override readonly name = 'MalformedLineError';
}

/** Parses one line of a dump. Bytes from 0x80 up may also stand for themselves. Throws MalformedLineError. */
export function parsePair(line: Buffer): { key: Buffer; value: Buffer } {
  const text = line.toString('latin1');
  const separator = text.indexOf('\t');
  if (separator <= 0) throw new MalformedLineError('it is not key<TAB>value');
  return { key: readEscapes(text.slice(0, separator)), value: readEscapes(text.slice(separator + 1)) };
}

function readEscapes(text: string): Buffer {
  const bare = /[^\x20-\x7e\x80-\xff]/.exec(text)?.[0];
  if (bare !== undefined) {
    const code = bare.charCodeAt(0).toString(16).padStart(2, '0');
    throw new MalformedLineError(`it holds the control character 0x${code}: write it as \\x${code}`);
  }
  if (!text.includes('\\')) return Buffer.from(text, 'latin1');
  const plain = text.replace(/\\(?:x([0-9a-f]{2})|([\s\S]?))/gi, (_, digits?: string, letter = '') => {
    if (digits !== undefined) return String.fromCharCode(Number.parseInt(digits, 16));
    const character = escapedCharacters[letter as string];
    if (character === undefined)
      throw new MalformedLineError('it holds a backslash that begins none of \\\\, \\t, \\n, \\r and \\xNN');
    return character;
  });
  return Buffer.from(plain, 'latin1');
}

/** Reads the lines of a dump, or of several dumps one after another, and knows whether they are complete. */
export class DumpReader {
  #pairCount = 0;
  #hasEnd = false;
  #missing: string | undefined;

  /**
   * Returns the pair of a line, or undefined for a comment. Throws MalformedLineError, and a failure for another
   * format.
   */
  read(line: Buffer): { key: Buffer; value: Buffer } | undefined {
    return this.isComment(line) ? undefined : parsePair(line);
  }

  /** Whether a line is a comment. Counts the line as `read` does, for a pair that is not wanted. */
  isComment(line: Buffer): boolean {
    if (line[0] !== NUMBER_SIGN) {
      this.#pairCount++;
      this.#hasEnd = false;
      return false;
    }
    const [, kind, number] = /^# (coxswain dump|end) (\d+)$/.exec(line.toString('latin1')) ?? [];
    if (kind === undefined) return true;
    if (kind === 'end') {
      this.#hasEnd = true;
      if (Number(number) !== this.#pairCount)
        this.#missing ??= `its end line counts ${counted(Number(number), 'pair')}, and ${counted(this.#pairCount, 'is there', 'are there')}`;
    } else if (number !== '1') {
      throw failure(`load: the dump is of format ${number}, which this version does not read`);
    }
    this.#pairCount = 0;
    return true;
  }

  /** Whether the last line was the end of a dump. */
  get hasEnd(): boolean {
    return this.#hasEnd;
  }

  /**
   * Why the lines that were read are not everything that was dumped; undefined when they are. Meaningful after the last
   * line.
   */
  get whyIncomplete(): string | undefined {
    return this.#missing ?? (this.#hasEnd ? undefined : 'it has no end line, so it was cut short');
  }
}
