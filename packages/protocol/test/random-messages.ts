import fc from 'fast-check';
import type protobuf from 'protobufjs';

/** A message in the form of the generated code. */
type Message = Record<string, unknown>;
/** A oneof in the form of the generated code. */
interface Case {
  readonly $case: string;
  readonly value: unknown;
}

const NESTING_MAX = 3;
/** Objects with the prototype that decoded ones have. */
const plainObjects = { noNullPrototype: true };

const FIRST_SURROGATE = 0xd800;
const SURROGATES = 0x800;
const CHARACTERS = 0x110000 - SURROGATES;

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
);
const uint64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(
    0n,
    1n,
    127n,
    128n,
    2n ** 28n,
    2n ** 32n - 1n,
    2n ** 35n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
  ),
);
// Lengths around 128 change the size of a length; most are short.
const bytes = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 110, maxLength: 140, size: 'max' }) },
);
/** Any character but half a surrogate pair. fast-check's own 'binary' first makes a map of all the 1.1 million. */
const character = fc.integer({ min: 0, max: CHARACTERS - 1 }).map(
  (at) => String.fromCodePoint(at < FIRST_SURROGATE ? at : at + SURROGATES),
  // The way back lets fast-check mix in the names that programs most often mishandle.
  (of) => {
    const point = (of as string).codePointAt(0)!;
    return point < FIRST_SURROGATE ? point : point - SURROGATES;
  },
);
const text = fc.string({ unit: character, maxLength: 12 });
// Keys of maps. protobufjs takes one name for an attack, golden.test.ts has it; and an empty key may be
// written or left out, so its bytes prove nothing.
const key = text.filter((name) => name !== '__proto__' && name !== '');

/** The oneofs that the schema declares, without those that stand for an optional field. */
function declaredOneofs(type: protobuf.Type): protobuf.OneOf[] {
  return type.oneofsArray.filter((oneof) => !oneof.isProto3Optional);
}

function plainFields(type: protobuf.Type): protobuf.Field[] {
  const inOneofs = new Set(declaredOneofs(type).flatMap((oneof) => oneof.fieldsArray));
  return type.fieldsArray.filter((field) => !inOneofs.has(field));
}

function isMessage(field: protobuf.Field): boolean {
  return field.resolvedType !== null && 'fieldsArray' in field.resolvedType;
}

function isStruct(field: protobuf.Field): boolean {
  return field.resolvedType?.fullName === '.google.protobuf.Struct';
}

/** Random messages of a type, in the form of the generated code. */
export function randomMessage(type: protobuf.Type, nesting = 0): fc.Arbitrary<Message> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of plainFields(type)) {
    // prevKvSeed is the second place of prevKv, not a property of its own.
    if (field.name !== 'prevKvSeed') fields[field.name] = randomField(field, nesting);
  }
  for (const oneof of declaredOneofs(type)) {
    const cases = oneof.fieldsArray
      .filter((field) => nesting < NESTING_MAX || !isMessage(field))
      .map((field) =>
        fc.record({ $case: fc.constant(field.name), value: randomValue(field, nesting) }, plainObjects),
      );
    fields[oneof.name] = fc.oneof(fc.constant(undefined), ...cases);
  }
  return fc.record(fields, plainObjects);
}

function randomField(field: protobuf.Field, nesting: number): fc.Arbitrary<unknown> {
  const isTooDeep = isMessage(field) && nesting >= NESTING_MAX;
  if (field.map) {
    const entries = fc.uniqueArray(fc.tuple(key, randomValue(field, nesting)), {
      selector: ([name]) => name,
      maxLength: 3,
    });
    return entries.map((all) => new Map(all));
  }
  if (field.repeated) {
    return isTooDeep ? fc.constant([]) : fc.array(randomValue(field, nesting), { maxLength: 3 });
  }
  if (isMessage(field) || field.hasPresence) {
    return isTooDeep ? fc.constant(undefined) : fc.option(randomValue(field, nesting), { nil: undefined });
  }
  return randomValue(field, nesting);
}

function randomValue(field: protobuf.Field, nesting: number): fc.Arbitrary<unknown> {
  if (isStruct(field)) {
    return struct(jsonWithoutProto);
  }
  if (isMessage(field)) {
    return randomMessage(field.resolvedType as protobuf.Type, nesting + 1);
  }
  if (field.resolvedType !== null) {
    return fc.constantFrom(...Object.values((field.resolvedType as protobuf.Enum).values));
  }
  switch (field.type) {
    case 'bytes':
      return bytes.map((value) => Buffer.from(value));
    case 'string':
      return text;
    case 'bool':
      return fc.boolean();
    case 'int32':
      return fc.integer({ min: -0x80000000, max: 0x7fffffff });
    case 'uint32':
      return fc.integer({ min: 0, max: 0xffffffff });
    case 'int64':
      return int64;
    case 'uint64':
      return uint64;
    default:
      throw new Error(`no random values for ${field.type}`);
  }
}

/** Structs, which are decoded into objects without a prototype: their keys are whatever a client says. */
function struct(value: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  const fields = fc.dictionary(key, value, { maxKeys: 3 });
  return fields.map((object) => Object.assign(Object.create(null), object));
}

const { json: jsonWithoutProto } = fc.letrec((tie) => ({
  json: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true }),
    text,
    fc.array(tie('json'), { maxLength: 3 }),
    struct(tie('json')),
  ),
}));

/**
 * The same message in the form that protobufjs makes of a decoded one: only what is on the wire, 64-bit
 * integers as decimal strings.
 */
export function toReflected(type: protobuf.Type, message: Message): Message {
  const plain: Message = {};
  for (const field of plainFields(type)) {
    const value = message[field.name];
    if (field.map) {
      const entries = [...(value as Map<string, unknown>)].map(([name, item]) => [
        name,
        reflectedValue(field, item),
      ]);
      if (entries.length > 0) plain[field.name] = Object.fromEntries(entries);
    } else if (field.repeated) {
      const items = (value as unknown[]).map((item) => reflectedValue(field, item));
      if (items.length > 0) plain[field.name] = items;
    } else if (value !== undefined && (isMessage(field) || field.hasPresence || !isDefault(value))) {
      plain[field.name] = reflectedValue(field, value);
    }
  }
  for (const oneof of declaredOneofs(type)) {
    const chosen = message[oneof.name] as Case | undefined;
    if (chosen !== undefined) {
      plain[chosen.$case] = reflectedValue(type.fields[chosen.$case]!, chosen.value);
    }
  }
  // RequestOp.DeleteRange has prev_kv in two places, and one property for both.
  if (plain['prevKv'] === true && 'prevKvSeed' in type.fields) {
    plain['prevKvSeed'] = true;
  }
  return plain;
}

function isDefault(value: unknown): boolean {
  return value === 0 || value === 0n || value === false || (value as { length?: number }).length === 0;
}

function reflectedValue(field: protobuf.Field, value: unknown): unknown {
  if (isStruct(field)) return structOf(value as object);
  if (isMessage(field)) return toReflected(field.resolvedType as protobuf.Type, value as Message);
  return typeof value === 'bigint' ? value.toString() : value;
}

function structOf(object: object): Message {
  const fields = Object.entries(object).map(([name, value]) => [name, jsonOf(value)]);
  return fields.length > 0 ? { fields: Object.fromEntries(fields) } : {};
}

function jsonOf(value: unknown): Message {
  switch (typeof value) {
    case 'number':
      return { numberValue: value };
    case 'string':
      return { stringValue: value };
    case 'boolean':
      return { boolValue: value };
    default:
      if (value === null) return { nullValue: 0 };
      if (!Array.isArray(value)) return { structValue: structOf(value as object) };
      return { listValue: value.length > 0 ? { values: value.map(jsonOf) } : {} };
  }
}
