import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { events, health, maintenance, moco, mvcc, regatta, replication, wolfRaft } from '../src/index.js';
import type { WireReader } from '../src/wire/wire-reader.js';
import type { WireWriter } from '../src/wire/wire-writer.js';

/** What every generated message type offers. */
export interface Codec<T> {
  encode(message: T, writer?: WireWriter): WireWriter;
  decode(input: WireReader | Uint8Array, length?: number): T;
}

const protoFolder = fileURLToPath(new URL('../../../../proto', import.meta.url));

/** The .proto files as protobufjs understands them: a reading of the schema that shares no code with ours. */
export function loadSchema(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(protoFolder, target);
  root.loadSync([
    'coxswain/v1/events.proto',
    'grpc/health/v1/health.proto',
    'maintenance/v1/maintenance.proto',
    'moco/agentrpc.proto',
    'mvcc/v1/mvcc.proto',
    'regatta/v1/regatta.proto',
    'replication/v1/replication.proto',
    'wolf/raft/raft.proto',
  ]);
  root.resolveAll();
  return root;
}

/** Every generated message type by its full protobuf name. */
export const codecs: ReadonlyMap<string, Codec<unknown>> = new Map(
  [events, health, maintenance, moco, mvcc, regatta, replication, wolfRaft].flatMap((namespace) =>
    Object.entries(namespace).flatMap(([name, value]) =>
      typeof value === 'object' && 'decode' in value && !name.endsWith('Entry')
        ? [[nameIn(namespace.protobufPackage, name.replaceAll('_', '.')), value as Codec<unknown>] as const]
        : [],
    ),
  ),
);

/** The full name of what a package declares; moco-agent's has no name. */
export function nameIn(packageName: string, name: string): string {
  return packageName === '' ? name : `${packageName}.${name}`;
}
