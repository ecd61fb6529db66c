/** A text is not valid JSON, or not of the expected form. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
  constructor(
    readonly reason: string,
    /** The place in the text, counted in UTF-16 code units from 0. */
    readonly at: number,
  ) {
    super(`${reason} at character ${at}`);
  }
}

/** Characters other than quotes, backslashes and control characters. */
const PLAIN = /[ !#-[\]-\uffff]*/y;
const DIGITS = /[0-9]*/y;
const SPACE = /[ \n\r\t]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const HEX = /[0-9a-fA-F]{4}/y;
const LITERALS = ['null', 'true', 'false'];
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};
const U64_MAX = 2n ** 64n - 1n;
const U64_DIGITS_MAX = 20;

/**
 * Reads JSON value by value, and accepts and refuses exactly what serde_json does: integers are exact, numbers of
 * another type are refused, and nothing is converted. Every method throws JsonError. It keeps nothing of the text but
 * the values that it returns, needs no call stack for nesting, and takes time in proportion to the text's length.
 */
export class JsonReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  fail(reason: string): never {
    throw new JsonError(reason, this.#at);
  }

  /** Reads one value that must be the whole text. */
  whole<T>(read: (json: JsonReader) => T): T {
    const value = read(this);
    if (this.next() !== '') this.fail('trailing characters');
    return value;
  }

  /** Returns the next character after white space, without consuming it; '' at the end. */
  next(): string {
    this.#match(SPACE);
    return this.#text.charAt(this.#at);
  }

  /** Consumes the character that `next` returned. */
  skip(): void {
    this.#at++;
  }

  expect(character: string): void {
    if (this.next() !== character) this.fail(`expected ${character}`);
    this.#at++;
  }

  /** Consumes a literal `null`; returns false when something else comes. */
  takesNull(): boolean {
    if (this.next() !== 'n') return false;
    this.#literal('null');
    return true;
  }

  /**
   * Reads an unsigned 64-bit integer. It refuses also one above 2^53-1, which could not be kept exactly, and a sign,
   * point or exponent, as serde does.
   */
  u64(): number {
    const first = this.next();
    const start = this.#at;
    const digits = this.#match(DIGITS);
    if (digits === '') this.fail('expected an unsigned integer');
    if (first === '0' && digits.length > 1) this.fail('a number has a leading zero');
    const after = this.#text.charAt(this.#at);
    if (after === '.' || after === 'e' || after === 'E')
      this.fail('expected an unsigned integer, not a fraction');
    const value = Number(digits);
    if (Number.isSafeInteger(value)) return value;
    this.#at = start;
    const isU64 = digits.length <= U64_DIGITS_MAX && BigInt(digits) <= U64_MAX;
    return this.fail(
      isU64 ? 'an integer is above 2^53-1, the largest that this node takes' : 'an integer is above 2^64-1',
    );
  }

  /** Reads a text and resolves its escapes. It refuses a surrogate without its pair. */
  string(): string {
    this.expect('"');
    const plain = this.#match(PLAIN);
    if (this.#text.charAt(this.#at) === '"') {
      this.#at++;
      return plain;
    }
    const parts = [plain];
    while (!this.#endsString()) {
      parts.push(this.#escape());
      parts.push(this.#match(PLAIN));
    }
    return parts.join('');
  }

  /** Yields once for each element of the array that comes next; the caller reads the element. */
  *elements(): Generator<void, void, undefined> {
    this.expect('[');
    if (this.next() === ']') {
      this.#at++;
      return;
    }
    for (;;) {
      yield;
      const character = this.next();
      if (character !== ',' && character !== ']') this.fail('expected , or ]');
      this.#at++;
      if (character === ']') return;
    }
  }

  array<T>(read: (json: JsonReader) => T): T[] {
    const values: T[] = [];
    for (const _ of this.elements()) values.push(read(this));
    return values;
  }

  /** Yields the keys of the object that comes next; after each, the caller reads its value. */
  *keys(): Generator<string, void, undefined> {
    this.expect('{');
    if (this.next() === '}') {
      this.#at++;
      return;
    }
    for (;;) {
      const key = this.string();
      this.expect(':');
      yield key;
      const character = this.next();
      if (character !== ',' && character !== '}') this.fail('expected , or }');
      this.#at++;
      if (character === '}') return;
    }
  }

  /** Skips one value of any kind, however deeply nested. */
  ignore(): void {
    const open = new BracketStack();
    for (;;) {
      const character = this.next();
      if (character === '[' || character === '{') {
        this.#at++;
        const isObject = character === '{';
        open.push(isObject);
        if (this.next() !== (isObject ? '}' : ']')) {
          if (isObject) this.#ignoreKey();
          continue;
        }
      } else this.#ignoreScalar(character);
      if (!this.#closes(open)) return;
    }
  }

  /**
   * Handles the character after a value: returns true when another value follows, false when all brackets are closed.
   */
  #closes(open: BracketStack): boolean {
    while (!open.isEmpty) {
      const isObject = open.top;
      const character = this.next();
      if (character === ',') {
        this.#at++;
        if (isObject) this.#ignoreKey();
        return true;
      }
      if (character !== (isObject ? '}' : ']')) this.fail(`expected , or ${isObject ? '}' : ']'}`);
      this.#at++;
      open.pop();
    }
    return false;
  }

  #ignoreKey(): void {
    this.#ignoreString();
    this.expect(':');
  }

  #ignoreScalar(character: string): void {
    if (character === '"') this.#ignoreString();
    else if (character === '-' || (character >= '0' && character <= '9')) {
      if (this.#match(NUMBER) === '') this.fail('a number is not valid');
      const after = this.#text.charAt(this.#at);
      if ((after >= '0' && after <= '9') || after === '.' || after === 'e' || after === 'E')
        this.fail('a number is not valid');
    } else {
      const literal = LITERALS.find((text) => text.startsWith(character) && character !== '');
      if (literal === undefined) this.fail('expected a value');
      this.#literal(literal);
    }
  }

  /** Skips a text. Surrogates need no pair here: serde checks them only when a text is asked for. */
  #ignoreString(): void {
    this.expect('"');
    this.#match(PLAIN);
    while (!this.#endsString()) {
      this.#at++;
      const letter = this.#text.charAt(this.#at);
      this.#at++;
      if (letter === 'u') {
        if (this.#match(HEX) === '') this.fail('an escape is not valid');
      } else if (letter === '' || !(letter in ESCAPES)) this.fail('an escape is not valid');
      this.#match(PLAIN);
    }
  }

  #literal(literal: string): void {
    if (!this.#text.startsWith(literal, this.#at)) this.fail('expected a value');
    this.#at += literal.length;
  }

  /** Consumes the closing quote; returns false when an escape comes. */
  #endsString(): boolean {
    const character = this.#text.charAt(this.#at);
    if (character === '\\') return false;
    if (character !== '"')
      this.fail(character === '' ? 'a text does not end' : 'a text has a control character');
    this.#at++;
    return true;
  }

  #escape(): string {
    this.#at++;
    const letter = this.#text.charAt(this.#at);
    this.#at++;
    if (letter !== 'u') {
      const character = letter === '' ? undefined : ESCAPES[letter];
      return character ?? this.fail('an escape is not valid');
    }
    const unit = this.#codeUnit();
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
    if (unit > 0xdbff || !this.#text.startsWith('\\u', this.#at)) this.fail('a surrogate has no pair');
    this.#at += 2;
    const second = this.#codeUnit();
    if (second < 0xdc00 || second > 0xdfff) this.fail('a surrogate has no pair');
    return String.fromCharCode(unit, second);
  }

  #codeUnit(): number {
    const digits = this.#match(HEX);
    if (digits === '') this.fail('an escape is not valid');
    return Number.parseInt(digits, 16);
  }

  /** Consumes and returns the text that the pattern matches here, '' for none. The pattern must be sticky. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.#text)) return '';
    const start = this.#at;
    this.#at = pattern.lastIndex;
    return this.#text.slice(start, this.#at);
  }
}

/** Records the open brackets with a byte each: a hostile text may open as many as it has characters. */
class BracketStack {
  #kinds = new Uint8Array(64);
  #depth = 0;

  get isEmpty(): boolean {
    return this.#depth === 0;
  }

  /** True when the innermost bracket is an object's. */
  get top(): boolean {
    return this.#kinds[this.#depth - 1] === 1;
  }

  push(isObject: boolean): void {
    if (this.#depth === this.#kinds.length) {
      const larger = new Uint8Array(2 * this.#depth);
      larger.set(this.#kinds);
      this.#kinds = larger;
    }
    this.#kinds[this.#depth++] = isObject ? 1 : 0;
  }

  pop(): void {
    this.#depth--;
  }
}
