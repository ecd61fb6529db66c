import { descriptorSet } from '@coxswain/protocol';
import type {
  handleBidiStreamingCall,
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoPath as healthProtoPath } from 'grpc-health-check';
import type { Method } from './call.js';

/** A version of the reflection protocol, ready to serve. */
interface Loaded {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly handle: handleBidiStreamingCall<unknown, unknown>;
}

const paths = ['v1', 'v1alpha'].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);

/**
 * Server reflection, v1 and v1alpha, for what a listener serves: tools such as grpcurl need no .proto files. All
 * messages of the protocol can be looked up; only the services that are served are listed. Descriptors are read
 * when somebody asks, which on most nodes nobody does.
 */
export class Reflection {
  readonly #services: string[];
  #loaded: ReadonlyMap<string, Loaded> | undefined;

  constructor(methods: readonly Method[]) {
    this.#services = [...new Set(methods.map(({ definition }) => definition.path.split('/')[1]!))];
  }

  addToServer(server: Server): void {
    for (const path of paths) {
      server.register(
        path,
        (call: Parameters<Loaded['handle']>[0]) => this.#load(path).handle(call),
        (response: unknown) => this.#load(path).definition.responseSerialize(response),
        (bytes: Buffer) => this.#load(path).definition.requestDeserialize(bytes),
        'bidi',
      );
    }
  }

  #load(path: string): Loaded {
    this.#loaded ??= load(this.#services);
    return this.#loaded.get(path)!;
  }
}

function load(services: string[]): Map<string, Loaded> {
  // The service reads every file once for each definition that lists it: one definition that lists all is enough.
  const definitions = {
    api: { fileDescriptorProtos: filesOf(descriptorSet()) },
    health: Object.values(loadSync(healthProtoPath)).find(
      (definition) => 'fileDescriptorProtos' in definition,
    )!,
  };
  const loaded = new Map<string, Loaded>();
  // The service knows no other way to give its handlers than to add them to a server.
  const collector = {
    addService: (definition: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      for (const [name, method] of Object.entries(definition)) {
        const handle = (implementation[name] ??
          implementation[method.originalName!]) as unknown as Loaded['handle'];
        loaded.set(method.path, { definition: method, handle });
      }
    },
  };
  new ReflectionService(definitions as unknown as PackageDefinition, { services }).addToServer(
    collector as unknown as Server,
  );
  return loaded;
}

/** The encoded files of a google.protobuf.FileDescriptorSet, whose only field is `file`, with number 1. */
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
