// What is generated below ts-proto's types: for each message a codec on src/wire, for each service its definition
// in the form of @grpc/grpc-js. `tsc` holds both to the types. What our schemas do not use, such as lists of numbers, is refused.
import { ScalarType } from '@bufbuild/protobuf';
import { createEcmaScriptPlugin, createImportSymbol, getComments } from '@bufbuild/protoplugin';
import { secondPlaces } from './second-places.mjs';

// Paths are relative to src/gen.
const beginMessage = createImportSymbol('beginMessage', './../wire/wire-writer.js');
const WireWriter = createImportSymbol('WireWriter', './../wire/wire-writer.js', true);
const emptyBytes = createImportSymbol('emptyBytes', './../wire/wire-reader.js');
const WireReader = createImportSymbol('WireReader', './../wire/wire-reader.js');
const DeepPartial = createImportSymbol('DeepPartial', './../wire/message-type.js', true);
const MessageType = createImportSymbol('MessageType', './../wire/message-type.js', true);
const Struct = createImportSymbol('Struct', './../wire/struct.js');

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** How scalars are read and written (the method's name), and the default, which is not written. */
const scalars = new Map([
  [ScalarType.BOOL, { method: 'bool', wireType: VARINT, zero: 'false' }],
  [ScalarType.INT32, { method: 'int32', wireType: VARINT, zero: '0' }],
  [ScalarType.UINT32, { method: 'uint32', wireType: VARINT, zero: '0' }],
  [ScalarType.INT64, { method: 'int64', wireType: VARINT, zero: '0n' }],
  [ScalarType.UINT64, { method: 'uint64', wireType: VARINT, zero: '0n' }],
  [ScalarType.STRING, { method: 'string', wireType: LENGTH_DELIMITED, zero: '""' }],
  [ScalarType.BYTES, { method: 'bytes', wireType: LENGTH_DELIMITED, zero: emptyBytes }],
]);
const enumeration = scalars.get(ScalarType.INT32);

export const codecs = createEcmaScriptPlugin({
  name: 'coxswain',
  version: 'v1',
  generateTs(schema) {
    for (const file of schema.files) {
      const output = schema.generateFile(`${file.name}.ts`);
      output.print('// Codecs and services: packages/protocol/generator/codecs.mjs');
      output.print();
      for (const message of file.messages) printMessage(output, message);
      for (const service of file.services) printService(output, service);
    }
  },
});

/** Source text with imported names in it, as the library's print() takes it. */
function code(strings, ...values) {
  return strings.flatMap((text, at) => [text, values[at] ?? '']);
}

/** Lines of source text, each so many spaces in. */
function indented(spaces, lines) {
  return lines.map((line) => ['\n', line === '' ? '' : ' '.repeat(spaces), line]);
}

// How a value is read and written, whatever field it is in. `partial` makes a whole one of a partial one.

function valueCodec({ fieldKind, scalar, message }) {
  if (fieldKind === 'enum') return scalarValue(enumeration);
  if (fieldKind === 'message') {
    return message.typeName === 'google.protobuf.Struct' ? structValue : messageValue(nameOf(message));
  }
  if (!scalars.has(scalar)) throw new Error(`there is no codec for ${ScalarType[scalar]}`);
  return scalarValue(scalars.get(scalar));
}

function scalarValue({ method, wireType, zero }) {
  return {
    wireType,
    zero,
    isWritten: (value) => (zero === emptyBytes ? `${value}.length !== 0` : `${value} !== ${zero}`),
    write: (tag, value) => `writer.tag(${tag}).${method}(${value})`,
    read: `reader.${method}()`,
    partial: (value) => (zero === '0n' ? code`BigInt(${value})` : value),
  };
}

function messageValue(name) {
  return {
    wireType: LENGTH_DELIMITED,
    write: (tag, value) => `${name}.encode(${value}, writer.tag(${tag}).fork()).join()`,
    read: `${name}.decode(reader, reader.length())`,
    partial: (value) => code`${name}.fromPartial(${value})`,
  };
}

const structValue = {
  wireType: LENGTH_DELIMITED,
  write: (tag, value) => code`${Struct}.encode(${value}, writer.tag(${tag}).fork()).join()`,
  read: code`${Struct}.decode(reader, reader.length())`,
  partial: (value) => value,
};

// How a field is read and written: the `property` that holds it and its `initial` value, the statements that encode it, for
// each of its numbers the statement that decodes it (`reads`), and the statements that take it from a partial `object`.

function plainField({ number, property, isShared }, value) {
  const held = `message.${property}`;
  const tag = tagOf(number, value);
  return {
    property,
    initial: value.zero,
    encode: [`if (${value.isWritten(held)}) {`, code`  ${value.write(tag, held)};`, '}'],
    reads: [{ number, tag, read: [code`${held} = ${value.read}${isShared ? ` || ${held}` : ''};`] }],
    fromPartial: [code`${held} = ${value.partial(code`object.${property} ?? ${value.zero}`)};`],
  };
}

function optionalField({ number, property }, value) {
  const held = `message.${property}`;
  const given = `object.${property}`;
  const tag = tagOf(number, value);
  const whole = value.partial(given);
  return {
    property,
    initial: 'undefined',
    encode: [`if (${held} !== undefined) {`, code`  ${value.write(tag, held)};`, '}'],
    reads: [{ number, tag, read: [code`${held} = ${value.read};`] }],
    fromPartial: [
      whole === given
        ? `${held} = ${given} ?? undefined;`
        : code`${held} = ${given} === undefined || ${given} === null ? undefined : ${whole};`,
    ],
  };
}

function listField({ number, property }, value) {
  if (value.wireType !== LENGTH_DELIMITED)
    throw new Error(`${property}: there is no codec for lists of numbers`);
  const tag = tagOf(number, value);
  return {
    property,
    initial: '[]',
    encode: [`for (const item of message.${property}) {`, code`  ${value.write(tag, 'item')};`, '}'],
    reads: [{ number, tag, read: [code`message.${property}.push(${value.read});`] }],
    fromPartial: [
      code`message.${property} = object.${property}?.map((item) => ${value.partial('item')}) ?? [];`,
    ],
  };
}

/** A map, of which each pair is a message on the wire. One whose value is missing is left out. */
function mapField({ number, property }, entry, value) {
  const tag = tagOf(number, entry);
  return {
    property,
    initial: 'new Map()',
    encode: [
      `for (const [key, value] of message.${property}) {`,
      code`  ${entry.write(tag, '{ key, value }')};`,
      '}',
    ],
    reads: [
      {
        number,
        tag,
        read: [
          code`const { key, value } = ${entry.read};`,
          `if (value !== undefined) message.${property}.set(key, value);`,
        ],
      },
    ],
    fromPartial: [
      `for (const [key, value] of object.${property} ?? []) {`,
      code`  message.${property}.set(key, ${value.partial('value')});`,
      '}',
    ],
  };
}

/** A oneof: one property for all of its `fields`. */
function oneof(property, fields) {
  const cases = fields.map((field) => {
    const value = valueCodec(field);
    return { name: field.localName, number: field.number, value, tag: tagOf(field.number, value) };
  });
  const held = `message.${property}`;
  const given = `object.${property}`;
  return {
    property,
    initial: 'undefined',
    encode: [
      `switch (${held}?.$case) {`,
      ...cases.flatMap(({ name, tag, value }) => [
        `  case "${name}":`,
        code`    ${value.write(tag, `${held}.value`)};`,
        '    break;',
      ]),
      '}',
    ],
    reads: cases.map(({ name, number, tag, value }) => ({
      number,
      tag,
      read: [code`${held} = { $case: "${name}", value: ${value.read} };`],
    })),
    fromPartial: [
      `switch (${given}?.$case) {`,
      ...cases.flatMap(({ name, value }) => [
        `  case "${name}":`,
        `    if (${given}.value !== undefined && ${given}.value !== null) {`,
        code`      ${held} = { $case: "${name}", value: ${value.partial(`${given}.value`)} };`,
        '    }',
        '    break;',
      ]),
      '}',
    ],
  };
}

function tagOf(number, { wireType }) {
  return number * 8 + wireType;
}

// Messages.

/** The name that ts-proto gives to a message: `Outer_Inner`. */
function nameOf(message) {
  const packageName = message.file.proto.package;
  const name = packageName === '' ? message.typeName : message.typeName.slice(packageName.length + 1);
  return name.replaceAll('.', '_');
}

/** The name that ts-proto gives to the message that stands for a pair of a map. */
function entryNameOf(field) {
  return `${nameOf(field.parent)}_${field.localName[0].toUpperCase()}${field.localName.slice(1)}Entry`;
}

function printMessage(output, message) {
  printCodec(output, nameOf(message), message.members.map(fieldOf));
  for (const field of message.fields) {
    if (field.fieldKind === 'map') printCodec(output, entryNameOf(field), entryFieldsOf(field));
  }
  for (const nested of message.nestedMessages) printMessage(output, nested);
}

function fieldOf(member) {
  const { kind, localName, number } = member;
  if (kind === 'oneof') return oneof(localName, member.fields);
  const field = { number, property: localName };
  switch (member.fieldKind) {
    case 'map':
      return mapField(
        field,
        messageValue(entryNameOf(member)),
        valueCodec({ ...member, fieldKind: member.mapKind }),
      );
    case 'list':
      return listField(field, valueCodec({ ...member, fieldKind: member.listKind }));
    case 'message':
      return optionalField(field, valueCodec(member));
    default:
      return member.proto.proto3Optional ? optionalField(field, valueCodec(member)) : scalarField(member);
  }
}

/** A scalar that every message has. A second place (second-places.mjs) uses the property of the first. */
function scalarField({ parent, fields = parent.fields, name, number, localName, ...type }) {
  const places = secondPlaces.get(parent.typeName) ?? {};
  const isSecond = name in places;
  const isShared = isSecond || Object.values(places).includes(name);
  const property = isSecond ? fields.find((field) => field.name === places[name]).localName : localName;
  const field = plainField({ number, property, isShared }, valueCodec(type));
  return isSecond ? { ...field, property: undefined } : field;
}

function entryFieldsOf({ mapKey, mapKind, ...type }) {
  const value = { number: 2, property: 'value' };
  return [
    plainField({ number: 1, property: 'key' }, valueCodec({ fieldKind: 'scalar', scalar: mapKey })),
    (mapKind === 'message' ? optionalField : plainField)(value, valueCodec({ ...type, fieldKind: mapKind })),
  ];
}

function printCodec(output, name, fields) {
  const properties = fields.filter(({ property }) => property !== undefined);
  const reads = fields.flatMap((field) => field.reads).sort((a, b) => a.number - b.number);
  // A parameter that is not used would not compile without the underscore.
  const unlessEmpty = (parameter) => (fields.length > 0 ? parameter : `_${parameter}`);
  output.print(code`function createBase${name}(): ${name} {
  return {${indented(
    4,
    properties.map(({ property, initial }) => [`${property}: `, initial, ',']),
  )}
  };
}

export const ${name}: ${MessageType}<${name}> = {
  encode(${unlessEmpty('message')}: ${name}, writer: ${WireWriter} = ${beginMessage}()): ${WireWriter} {${indented(
    4,
    fields.flatMap(({ encode }) => encode),
  )}
    return writer;
  },

  decode(input: ${WireReader} | Uint8Array, length?: number): ${name} {
    const reader = input instanceof ${WireReader} ? input : new ${WireReader}(input);
    const outerEnd = reader.enter(length);
    const message = createBase${name}();
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      switch (tag >>> 3) {${indented(
        8,
        reads.flatMap(({ number, tag, read }) => [
          `case ${number}: {`,
          `  if (tag !== ${tag}) break;`,
          ...read.map((line) => ['  ', line]),
          '  continue;',
          '}',
        ]),
      )}
      }
      reader.skip(tag);
    }
    reader.leave(outerEnd);
    return message;
  },

  create(base?: ${DeepPartial}<${name}>): ${name} {
    return ${name}.fromPartial(base ?? {});
  },

  fromPartial(${unlessEmpty('object')}: ${DeepPartial}<${name}>): ${name} {
    const message = createBase${name}();${indented(
      4,
      properties.flatMap(({ fromPartial }) => fromPartial),
    )}
    return message;
  },
};
`);
}

// Services.

function printService(output, service) {
  const name = nameOf(service);
  output.print(code`${documentation(service, '')}export type ${name}Service = typeof ${name}Service;
export const ${name}Service = {${service.methods.map((method) => {
    const [request, response] = [nameOf(method.input), nameOf(method.output)];
    return code`
${documentation(method, '  ')}  ${method.localName}: {
    path: "/${service.typeName}/${method.name}" as const,
    requestStream: ${method.proto.clientStreaming} as const,
    responseStream: ${method.proto.serverStreaming} as const,
    requestSerialize: (value: ${request}): Buffer => ${request}.encode(value).finish(),
    requestDeserialize: (value: Buffer): ${request} => ${request}.decode(value),
    responseSerialize: (value: ${response}): Buffer => ${response}.encode(value).finish(),
    responseDeserialize: (value: Buffer): ${response} => ${response}.decode(value),
  },`;
  })}
} as const;
`);
}

/** The comment of a declaration in the .proto file, in front of what is generated for it. */
function documentation(declaration, indentation) {
  const { leading } = getComments(declaration);
  if (leading === undefined) return '';
  const lines = leading.trim().split('\n');
  if (lines.length === 1) return `${indentation}/** ${lines[0]} */\n`;
  return `${indentation}/**\n${lines.map((line) => `${indentation} * ${line.trim()}\n`).join('')}${indentation} */\n`;
}
