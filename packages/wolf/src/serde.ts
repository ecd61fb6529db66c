import type { JsonReader } from './json-reader.js';

/** Reads one value. Throws JsonError. */
export type Read<T> = (json: JsonReader) => T;

export const u64: Read<number> = (json) => json.u64();
export const string: Read<string> = (json) => json.string();

export interface StructOptions<Fields> {
  /** Fields that may be absent, with the value that they then have, as serde reads an absent Option as `None`. */
  readonly absent?: Partial<Fields>;
  /** Fields of our own, which the real struct does not have and for which its array form has no place. */
  readonly ours?: readonly (keyof Fields & string)[];
}

/**
 * Makes a reader for a struct, equal to the code that serde derives. It accepts an object with its fields in any order,
 * each once, and unknown keys, which it ignores; or an array of all fields in the order of their declaration.
 */
export function struct<Fields extends object>(
  name: string,
  fields: { readonly [Key in keyof Fields]-?: Read<Fields[Key]> },
  { absent = {}, ours = [] }: StructOptions<Fields> = {},
): Read<Fields> {
  const readers = new Map<string, Read<unknown>>(Object.entries(fields));
  const keys = [...readers.keys()];
  const inOrder = keys.filter((key) => !(ours as readonly string[]).includes(key));

  function fromArray(json: JsonReader): Record<string, unknown> {
    const values: Record<string, unknown> = { ...absent };
    let count = 0;
    for (const _ of json.elements()) {
      const key = inOrder[count++];
      if (key === undefined) json.fail(`${name} has too many elements`);
      values[key] = readers.get(key)!(json);
    }
    if (count < inOrder.length) json.fail(`${name} has too few elements`);
    return values;
  }

  function fromObject(json: JsonReader): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const key of json.keys()) {
      const read = readers.get(key);
      if (read === undefined) json.ignore();
      else if (Object.hasOwn(values, key)) json.fail(`${name} has two fields ${key}`);
      else values[key] = read(json);
    }
    for (const key of keys) {
      if (Object.hasOwn(values, key)) continue;
      if (!(key in absent)) json.fail(`${name} has no field ${key}`);
      values[key] = absent[key as keyof Fields];
    }
    return values;
  }

  return (json) => {
    const first = json.next();
    if (first === '[') return fromArray(json) as Fields;
    if (first === '{') return fromObject(json) as Fields;
    return json.fail(`expected ${name}`);
  };
}

/** Reads the HashSet<u64> of a membership: each id once, in the order in which they first came. */
export const idSet: Read<readonly number[]> = (json) => [...new Set(json.array(u64))];

export function option<T>(read: Read<T>): Read<T | undefined> {
  return (json) => (json.takesNull() ? undefined : read(json));
}

/**
 * Makes a reader for an enum in serde's form: the name of a variant without content, or an object with one key. A
 * variant without content may be an object, too, whose value is null.
 */
export function variant<T>(
  name: string,
  units: Readonly<Record<string, T>>,
  others: Readonly<Record<string, Read<T>>>,
): Read<T> {
  return (json) => {
    if (json.next() === '"') {
      const unit = json.string();
      return Object.hasOwn(units, unit)
        ? units[unit]!
        : json.fail(`${name} has no such variant without content`);
    }
    let value: T | undefined;
    for (const key of json.keys()) {
      if (value !== undefined) json.fail(`${name} has two variants`);
      if (Object.hasOwn(others, key)) value = others[key]!(json);
      else if (!Object.hasOwn(units, key)) json.fail(`${name} has no such variant`);
      else if (json.takesNull()) value = units[key]!;
      else json.fail('expected null');
    }
    return value ?? json.fail(`${name} has no variant`);
  };
}
