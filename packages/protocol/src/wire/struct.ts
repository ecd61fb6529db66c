import type { WireReader } from './wire-reader.js';
import type { WireWriter } from './wire-writer.js';

// The tags of google/protobuf/struct.proto.
const FIELDS = 10;
const ENTRY_KEY = 10;
const ENTRY_VALUE = 18;
const NULL_VALUE = 8;
const NUMBER_VALUE = 17;
const STRING_VALUE = 26;
const BOOL_VALUE = 32;
const STRUCT_VALUE = 42;
const LIST_VALUE = 50;
const LIST_ITEMS = 10;

/**
 * A google.protobuf.Struct as the messages hold it. A decoded one has no prototype, since a client may call a
 * key `__proto__`.
 */
export type JsonObject = Record<string, unknown>;

/** The codec of google.protobuf.Struct: JSON objects on the wire. */
export const Struct = {
  /**
   * Writes a JSON object; properties that are undefined are left out.
   * @throws TypeError for a value that JSON does not have.
   */
  encode(object: JsonObject, writer: WireWriter): WireWriter {
    for (const [key, value] of Object.entries(object)) {
      if (value === undefined) continue;
      writer.tag(FIELDS).fork();
      if (key !== '') writer.tag(ENTRY_KEY).string(key);
      encodeValue(value, writer.tag(ENTRY_VALUE).fork()).join();
      writer.join();
    }
    return writer;
  },

  /**
   * Reads the next `length` bytes as a JSON object.
   * @throws WireError when they are malformed.
   */
  decode(reader: WireReader, length: number): JsonObject {
    const object: JsonObject = Object.create(null);
    decodeFields(reader, length, (tag) => {
      if (tag !== FIELDS) return false;
      const { key, value } = decodeEntry(reader, reader.length());
      if (value !== undefined) object[key] = value;
      return true;
    });
    return object;
  },
};

function encodeValue(value: unknown, writer: WireWriter): WireWriter {
  switch (typeof value) {
    case 'undefined':
      return writer;
    case 'number':
      return writer.tag(NUMBER_VALUE).double(value);
    case 'string':
      return writer.tag(STRING_VALUE).string(value);
    case 'boolean':
      return writer.tag(BOOL_VALUE).bool(value);
    case 'object':
      if (value === null) return writer.tag(NULL_VALUE).int32(0);
      if (Array.isArray(value)) return encodeList(value, writer.tag(LIST_VALUE).fork()).join();
      return Struct.encode(value as JsonObject, writer.tag(STRUCT_VALUE).fork()).join();
    default:
      throw new TypeError(`a Struct holds no ${typeof value}`);
  }
}

function encodeList(items: unknown[], writer: WireWriter): WireWriter {
  for (const item of items) encodeValue(item, writer.tag(LIST_ITEMS).fork()).join();
  return writer;
}

function decodeEntry(reader: WireReader, length: number): { key: string; value: unknown } {
  const entry = { key: '', value: undefined as unknown };
  decodeFields(reader, length, (tag) => {
    if (tag === ENTRY_KEY) entry.key = reader.string();
    else if (tag === ENTRY_VALUE) entry.value = decodeValue(reader, reader.length());
    else return false;
    return true;
  });
  return entry;
}

/** Reads a google.protobuf.Value; one with nothing set is undefined. */
function decodeValue(reader: WireReader, length: number): unknown {
  let value: unknown;
  decodeFields(reader, length, (tag) => {
    switch (tag) {
      case NULL_VALUE:
        reader.int32();
        value = null;
        return true;
      case NUMBER_VALUE:
        value = reader.double();
        return true;
      case STRING_VALUE:
        value = reader.string();
        return true;
      case BOOL_VALUE:
        value = reader.bool();
        return true;
      case STRUCT_VALUE:
        value = Struct.decode(reader, reader.length());
        return true;
      case LIST_VALUE:
        value = decodeList(reader, reader.length());
        return true;
      default:
        return false;
    }
  });
  return value;
}

function decodeList(reader: WireReader, length: number): unknown[] {
  const items: unknown[] = [];
  decodeFields(reader, length, (tag) => {
    if (tag !== LIST_ITEMS) return false;
    items.push(decodeValue(reader, reader.length()));
    return true;
  });
  return items;
}

/** Reads the fields of a nested message; `read` says whether it knew the field that begins with this tag. */
function decodeFields(reader: WireReader, length: number, read: (tag: number) => boolean): void {
  const outerEnd = reader.enter(length);
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (!read(tag)) reader.skip(tag);
  }
  reader.leave(outerEnd);
}
