/**
 * Converts a protobuf message to protobuf JSON: bytes in base64, 64-bit integers as strings, defaults left out. It
 * takes the objects that ts-proto makes: fields are in lowerCamelCase already, a oneof is `{ $case, value }`, a map is
 * a Map. A `google.protobuf.Struct` is plain JSON; fields named in `structs` hold one.
 */
export function toProtobufJson(message: object, structs: ReadonlySet<string> = structFields): object {
  const json: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(message)) {
    if (structs.has(name)) {
      if (value !== undefined) json[name] = value;
    } else if (isOneof(value)) {
      json[value.$case] = toJsonValue(value.value);
    } else if (!isDefault(value)) {
      json[name] = toJsonValue(value);
    }
  }
  return json;
}

/** The names of the fields of the API that are a Struct. */
const structFields: ReadonlySet<string> = new Set(['config']);

function toJsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (Buffer.isBuffer(value)) return value.toString('base64');
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, entry]) => [String(key), toJsonValue(entry)]));
  }
  return value !== null && typeof value === 'object' ? toProtobufJson(value) : value;
}

function isOneof(value: unknown): value is { $case: string; value: unknown } {
  return value !== null && typeof value === 'object' && '$case' in value;
}

function isDefault(value: unknown): boolean {
  if (value === undefined || value === 0n || value === 0 || value === '' || value === false) return true;
  if (Array.isArray(value) || Buffer.isBuffer(value)) return value.length === 0;
  return value instanceof Map && value.size === 0;
}
