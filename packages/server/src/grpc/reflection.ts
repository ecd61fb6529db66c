import type { ApiError } from '@coxswain/node';
import type { Method } from './call.js';
import { transportErrors } from './errors.js';
import type { ReflectionAnswers } from './reflection-answers.js';

const paths = ['v1', 'v1alpha'].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);

/**
 * Returns the methods of server reflection, v1 and v1alpha, for the methods that a listener serves, so that tools such
 * as grpcurl need no .proto files. All messages of the protocol can be looked up; only the services that are served are
 * listed. The code that answers is loaded at the first request, which on most nodes never comes.
 */
export function reflect(methods: readonly Method[]): readonly Method[] {
  const services = [...new Set(methods.map(({ definition }) => definition.path.split('/')[1]!))];
  let answers: Promise<ReflectionAnswers> | undefined;
  const load = async (): Promise<ReflectionAnswers> => {
    const { reflectionAnswers } = await import('./reflection-answers.js');
    return reflectionAnswers(services);
  };
  const asBytes = (bytes: unknown): Buffer => bytes as Buffer;
  return paths.map((path): Method => {
    const definition = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: asBytes,
      requestDeserialize: asBytes,
      responseSerialize: asBytes,
      responseDeserialize: asBytes,
    };
    async function* handle(requests: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
      answers ??= load();
      const answer = (await answers).get(path)!;
      for await (const request of requests) {
        try {
          yield answer(request as Buffer);
        } catch (error) {
          throw badReflection(error as Error);
        }
      }
    }
    return { kind: 'duplex', definition, handle };
  });
}

function badReflection(cause: Error): ApiError {
  return transportErrors.reflectionFailed(cause.message);
}
