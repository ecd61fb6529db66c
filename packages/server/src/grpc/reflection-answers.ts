import { strict as assert } from 'node:assert/strict';
import { descriptorSet } from '@coxswain/protocol';
import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';

/**
 * The functions that answer reflection, by the path of a method. Each returns the encoded response to an encoded
 * request, and throws when the request is malformed.
 */
export type ReflectionAnswers = ReadonlyMap<string, (request: Buffer) => Buffer>;

type Definitions = ConstructorParameters<typeof ReflectionService>[0];

/**
 * Returns the functions that answer reflection when `services` are served. They come from @grpc/reflection, whose
 * methods are taken out of its service.
 */
export function reflectionAnswers(services: readonly string[]): ReflectionAnswers {
  const answers = new Map<string, (request: Buffer) => Buffer>();
  // The service reads every file once for each definition that lists it, so one definition lists all files.
  const definitions = { all: { fileDescriptorProtos: filesOf(descriptorSet()) } };
  const reflection = new ReflectionService(definitions as unknown as Definitions, {
    services: [...services],
  });
  reflection.addToServer({
    addService(definition, implementation) {
      const { path, requestDeserialize, responseSerialize } = definition['ServerReflectionInfo']!;
      const serve = implementation['ServerReflectionInfo'] as handleBidiStreamingCall<unknown, unknown>;
      answers.set(path, (request) => {
        let response: Buffer | undefined;
        // A stream of one message, which is answered while its listener runs.
        const call = {
          on: (event: string, listener: (message?: unknown) => void) => {
            if (event === 'data') listener(requestDeserialize(request));
          },
          write: (message: unknown) => {
            response = responseSerialize(message);
          },
        };
        serve(call as unknown as ServerDuplexStream<unknown, unknown>);
        assert(response !== undefined, 'a reflection request is answered at once');
        return response;
      });
    },
  });
  return answers;
}

/** Returns the encoded files of a google.protobuf.FileDescriptorSet, whose only field is `file`, with number 1. */
function filesOf(set: Buffer): Buffer[] {
  const files: Buffer[] = [];
  let at = 0;
  while (at < set.length) {
    at += 1;
    let sizeBytes = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = set[at++]!;
      sizeBytes += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    files.push(set.subarray(at, at + sizeBytes));
    at += sizeBytes;
  }
  return files;
}
