import type { MethodDefinition } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';
import {
  descriptorSet,
  events,
  health,
  maintenance,
  moco,
  mvcc,
  regatta,
  replication,
  wolfRaft,
} from '../src/index.js';
import { codecs, loadSchema, nameIn } from './schema.js';

type Methods = Record<string, MethodDefinition<unknown, unknown>>;

const services: [string, Methods][] = [
  ['BackupBinlogService', moco.BackupBinlogServiceService],
  ['CloneService', moco.CloneServiceService],
  ['coxswain.v1.Events', events.EventsService],
  ['grpc.health.v1.Health', health.HealthService],
  ['maintenance.v1.Maintenance', maintenance.MaintenanceService],
  ['regatta.v1.Cluster', regatta.ClusterService],
  ['regatta.v1.KV', regatta.KVService],
  ['regatta.v1.Metrics', regatta.MetricsService],
  ['regatta.v1.Tables', regatta.TablesService],
  ['replication.v1.Log', replication.LogService],
  ['replication.v1.Metadata', replication.MetadataService],
  ['replication.v1.Snapshot', replication.SnapshotService],
  ['wolf.raft.Raft', wolfRaft.RaftService],
].map(([name, methods]) => [name as string, methods as unknown as Methods]);

describe('the definition of a service has the paths, types and streams of its .proto file', () => {
  const schema = loadSchema();

  test.each(services)('%s', (name, methods) => {
    const { methodsArray } = schema.lookupService(name);
    expect(Object.keys(methods)).toHaveLength(methodsArray.length);
    for (const declared of methodsArray) {
      const method = methods[`${declared.name.charAt(0).toLowerCase()}${declared.name.slice(1)}`]!;
      expect(method.path).toBe(`/${name}/${declared.name}`);
      expect(method.requestStream).toBe(declared.requestStream ?? false);
      expect(method.responseStream).toBe(declared.responseStream ?? false);
      declared.resolve();
      const request = codecs.get(declared.resolvedRequestType!.fullName.slice(1))!;
      const response = codecs.get(declared.resolvedResponseType!.fullName.slice(1))!;
      expect(method.requestDeserialize(Buffer.of())).toEqual(request.decode(Buffer.of()));
      expect(method.responseDeserialize(Buffer.of())).toEqual(response.decode(Buffer.of()));
      expect(Buffer.isBuffer(method.requestSerialize(request.decode(Buffer.of())))).toBe(true);
      expect(Buffer.isBuffer(method.responseSerialize(response.decode(Buffer.of())))).toBe(true);
    }
  });

  test('and every service has one', () => {
    const names: string[] = [];
    const collect = (parent: protobuf.NamespaceBase): void => {
      for (const child of parent.nestedArray) {
        if (child instanceof protobuf.Service) names.push(child.fullName.slice(1));
        else if (child instanceof protobuf.Namespace) collect(child);
      }
    };
    collect(schema);
    expect(services.map(([name]) => name)).toEqual(names.sort());
  });
});

test('the descriptor set holds every message and service, and what they import', () => {
  const files = descriptor.FileDescriptorSet.decode(descriptorSet()) as unknown as {
    file: { name: string; package: string; service: { name: string }[] }[];
  };
  expect(files.file.map((file) => file.name).sort()).toEqual([
    'coxswain/v1/events.proto',
    'google/protobuf/struct.proto',
    'grpc/health/v1/health.proto',
    'maintenance/v1/maintenance.proto',
    'moco/agentrpc.proto',
    'mvcc/v1/mvcc.proto',
    'regatta/v1/regatta.proto',
    'replication/v1/replication.proto',
    'wolf/raft/raft.proto',
  ]);
  const declared = files.file.flatMap((file) =>
    file.service.map((service) => nameIn(file.package, service.name)),
  );
  expect(declared.sort()).toEqual(services.map(([name]) => name));
});

test('a serializer hands on the bytes that the encoder wrote, without a copy', () => {
  const value = Buffer.alloc(1024, 1);
  const response = regatta.RangeResponse.create({ kvs: [mvcc.KeyValue.create({ value })] });
  const first = regatta.KVService.range.responseSerialize(response);
  const second = regatta.KVService.range.responseSerialize(response);
  // Both lie in the writer's slab, one after the other.
  expect(second.buffer === first.buffer || second.byteOffset === 0).toBe(true);
  expect(second.equals(first)).toBe(true);
});
