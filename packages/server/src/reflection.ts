import { descriptorSet } from '@coxswain/protocol';
import {
  type AnyDefinition,
  loadFileDescriptorSetFromBuffer,
  loadSync,
  type PackageDefinition,
} from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoPath as healthProtoPath } from 'grpc-health-check';
import type { Method } from './call.js';

/**
 * Server reflection, v1 and v1alpha, for what a listener serves: tools such as grpcurl need no .proto files. All
 * messages of the protocol can be looked up; only the services that are served are listed.
 */
export function reflect(methods: readonly Method[]): ReflectionService {
  const services = [...new Set(methods.map(({ definition }) => definition.path.split('/')[1]!))];
  const definitions: Record<string, AnyDefinition> = {
    ...loadFileDescriptorSetFromBuffer(descriptorSet()),
    ...loadSync(healthProtoPath),
  };
  return new ReflectionService(definitions as PackageDefinition, { services });
}
