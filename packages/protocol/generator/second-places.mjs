/**
 * Fields that are a second place on the wire for another field of their message: both are written, with one value,
 * and either one that is true sets it. They have no property of their own.
 */
export const secondPlaces = new Map([['mvcc.v1.RequestOp.DeleteRange', { prev_kv_seed: 'prev_kv' }]]);

// Field numbers in descriptor.proto, of which the places that comments belong to are made.
const MESSAGES_OF_FILE = 4;
const FIELDS_OF_MESSAGE = 2;
const MESSAGES_OF_MESSAGE = 3;

/** Removes second places from a CodeGeneratorRequest, for a generator that would give them a property. */
export function withoutSecondPlaces(request) {
  for (const file of request.protoFile) {
    removeFrom(file, file.package, file.messageType, [MESSAGES_OF_FILE]);
  }
  return request;
}

function removeFrom(file, scope, messages, pathOfMessages) {
  for (const [at, message] of messages.entries()) {
    const name = `${scope}.${message.name}`;
    const path = [...pathOfMessages, at];
    for (const second of Object.keys(secondPlaces.get(name) ?? {})) {
      const index = message.field.findIndex((field) => field.name === second);
      if (index < 0) throw new Error(`${name} has no field ${second}`);
      message.field.splice(index, 1);
      removeComments(file.sourceCodeInfo, [...path, FIELDS_OF_MESSAGE], index);
    }
    removeFrom(file, name, message.nestedType, [...path, MESSAGES_OF_MESSAGE]);
  }
}

/** Comments belong to fields by position: those of the fields that follow move up. */
function removeComments(info, pathOfFields, index) {
  const depth = pathOfFields.length;
  const isOfField = ({ path }) => path.length > depth && pathOfFields.every((part, at) => path[at] === part);
  info.location = info.location.filter((location) => !isOfField(location) || location.path[depth] !== index);
  for (const location of info.location) {
    if (isOfField(location) && location.path[depth] > index) location.path[depth]--;
  }
}
