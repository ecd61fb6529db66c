import { type Server, type ServerDuplexStream, status as statusCodes } from '@grpc/grpc-js';
import type { Method } from './call.js';
import type { ReflectionAnswers } from './reflection-answers.js';

const paths = ['v1', 'v1alpha'].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);

/**
 * Server reflection, v1 and v1alpha, for what a listener serves: tools such as grpcurl need no .proto files. All
 * messages of the protocol can be looked up; only the services that are served are listed. What answers is loaded
 * when somebody asks, which on most nodes nobody does.
 */
export class Reflection {
  readonly #services: readonly string[];
  #answers: Promise<ReflectionAnswers> | undefined;

  constructor(methods: readonly Method[]) {
    this.#services = [...new Set(methods.map(({ definition }) => definition.path.split('/')[1]!))];
  }

  addToServer(server: Server): void {
    const asBytes = (bytes: Buffer): Buffer => bytes;
    for (const path of paths) {
      const handle = (call: ServerDuplexStream<Buffer, Buffer>): void => {
        this.#serve(path, call).catch((error: unknown) => fail(call, error));
      };
      server.register(path, handle, asBytes, asBytes, 'bidi');
    }
  }

  async #serve(path: string, call: ServerDuplexStream<Buffer, Buffer>): Promise<void> {
    this.#answers ??= this.#load();
    const answer = (await this.#answers).get(path)!;
    call.on('data', (request: Buffer) => {
      try {
        call.write(answer(request));
      } catch (error) {
        fail(call, error);
      }
    });
    call.on('end', () => call.end());
  }

  async #load(): Promise<ReflectionAnswers> {
    const { reflectionAnswers } = await import('./reflection-answers.js');
    return reflectionAnswers(this.#services);
  }
}

function fail(call: ServerDuplexStream<Buffer, Buffer>, error: unknown): void {
  const details = `reflection: ${(error as Error).message}`;
  call.emit('error', { code: statusCodes.INTERNAL, details });
}
