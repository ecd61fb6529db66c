import { consoleErrors } from './console-errors.js';

/** A field of a request's JSON, read as what it must be. Every method throws badRequest, with the field's name. */
export class RequestBody {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #path: string;

  constructor(value: unknown, path = '') {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw consoleErrors.badRequest(`${path === '' ? 'the body' : path} must be an object`);
    this.#value = value as Record<string, unknown>;
    this.#path = path;
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined;
  }

  text(name: string): string {
    const value = this.#value[name];
    if (typeof value !== 'string') throw this.#wrong(name, 'a text');
    return value;
  }

  /** Bytes, from base64. */
  bytes(name: string): Buffer {
    const text = this.text(name);
    if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw this.#wrong(name, 'base64');
    return Buffer.from(text, 'base64');
  }

  /** Bytes that may be absent: then none. */
  optionalBytes(name: string): Buffer {
    return this.has(name) ? this.bytes(name) : Buffer.alloc(0);
  }

  flag(name: string): boolean {
    const value = this.#value[name] ?? false;
    if (typeof value !== 'boolean') throw this.#wrong(name, 'true or false');
    return value;
  }

  /** A whole number within bounds. */
  count(name: string, min: number, max: number): number {
    const value = this.#value[name];
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max)
      throw this.#wrong(name, `a whole number from ${min} to ${max}`);
    return value as number;
  }

  /** An int64 that is not negative, from a decimal text. */
  int64(name: string): bigint {
    const text = this.text(name);
    if (!/^\d{1,19}$/.test(text) || BigInt(text) > INT64_MAX)
      throw this.#wrong(name, 'a whole number, as text');
    return BigInt(text);
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.#value[name];
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw this.#wrong(name, `one of ${choices.join(', ')}`);
    return found;
  }

  object(name: string): RequestBody {
    return new RequestBody(this.#value[name], this.#nameOf(name));
  }

  objects(name: string): RequestBody[] {
    return this.#list(name).map((item, index) => new RequestBody(item, `${this.#nameOf(name)}[${index}]`));
  }

  texts(name: string): string[] {
    return this.#list(name).map((item) => {
      if (typeof item !== 'string') throw this.#wrong(name, 'a list of texts');
      return item;
    });
  }

  #list(name: string): readonly unknown[] {
    const value = this.#value[name];
    if (!Array.isArray(value)) throw this.#wrong(name, 'a list');
    return value;
  }

  #nameOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  #wrong(name: string, wanted: string): Error {
    return consoleErrors.badRequest(`${this.#nameOf(name)} must be ${wanted}`);
  }
}

const INT64_MAX = 2n ** 63n - 1n;
