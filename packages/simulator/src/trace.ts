// Jest looks a global up in its own context each time, at fifty times the price of a constant.
const { floor, imul } = Math;

/** The number of last lines that a report of a violation shows. */
const LINES_KEPT = 400;

/**
 * The course of a run as one running hash, and its last lines in words. Two runs with equal hashes saw the same events
 * with the same contents at the same times; this checks "same seed, same run".
 */
export class Trace {
  #low = 0x811c9dc5 | 0;
  #high = 0x9e3779b9 | 0;
  readonly #lines: string[] = [];
  #next = 0;

  readonly #listener: ((line: string) => void) | undefined;

  /** `listener` is called with every line as it comes. */
  constructor(listener?: (line: string) => void) {
    this.#listener = listener;
  }

  number(value: number): void {
    const low = value | 0;
    const high = floor(value / 2 ** 32) | 0;
    this.#low = imul(this.#low ^ low, 0x01000193) ^ (this.#high >>> 15);
    this.#high = (imul(this.#high ^ high ^ this.#low, 0x85ebca6b) + 0x27d4eb2f) | 0;
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) {
      this.#low = imul(this.#low ^ text.charCodeAt(i), 0x01000193);
    }
    this.number(text.length);
  }

  /** Adds a line for people, which is part of the hash, too. */
  line(line: string): void {
    this.text(line);
    this.#lines[this.#next++ % LINES_KEPT] = line;
    this.#listener?.(line);
  }

  /** Returns the last lines, oldest first. */
  lines(): string[] {
    const at = this.#next % LINES_KEPT;
    return [...this.#lines.slice(at), ...this.#lines.slice(0, at)];
  }

  /** Returns the hash as 16 hexadecimal digits. */
  hash(): string {
    const part = (value: number) => (value >>> 0).toString(16).padStart(8, '0');
    return part(this.#high) + part(this.#low);
  }
}
