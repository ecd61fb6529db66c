import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Client, credentials, type MethodDefinition, status as statusCodes } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ScriptedListener } from './support/scripted-listener.js';

type ReflectionMethod = MethodDefinition<object, Record<string, unknown>>;

/** The method as tools know it, from the library's own .proto file. */
function reflectionMethod(version: string): ReflectionMethod {
  const library = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
  const definitions = loadSync(join(library, `build/proto/grpc/reflection/${version}/reflection.proto`));
  const service = definitions[`grpc.reflection.${version}.ServerReflection`];
  return (service as unknown as Record<string, ReflectionMethod>)['ServerReflectionInfo']!;
}

describe.each(['v1', 'v1alpha'])('reflection %s', (version) => {
  const method = reflectionMethod(version);
  let scripted: ScriptedListener;
  let client: Client;

  beforeEach(async () => {
    scripted = await ScriptedListener.start();
    client = new Client(scripted.target, credentials.createInsecure());
  });

  afterEach(async () => {
    client.close();
    await scripted.close();
  });

  const open = (serialize: (request: object) => Buffer = method.requestSerialize) =>
    client.makeBidiStreamRequest(method.path, serialize, method.responseDeserialize);

  /** Asks several questions in one call and gives all answers. */
  async function ask(...requests: object[]): Promise<Record<string, unknown>[]> {
    const call = open();
    for (const request of requests) call.write(request);
    call.end();
    const answers: Record<string, unknown>[] = [];
    for await (const answer of call) answers.push(answer as Record<string, unknown>);
    return answers;
  }

  test('lists what is served, describes every message, and answers each question of a call', async () => {
    const [listed, described, unknown] = await ask(
      { listServices: '' },
      { fileContainingSymbol: 'grpc.health.v1.HealthListResponse' },
      { fileContainingSymbol: 'no.such.Message' },
    );
    const { service } = listed!['listServicesResponse'] as { service: { name: string }[] };
    expect(service.map(({ name }) => name).sort()).toEqual([
      'grpc.health.v1.Health',
      'regatta.v1.KV',
      'regatta.v1.Tables',
    ]);
    const { fileDescriptorProto } = described!['fileDescriptorResponse'] as { fileDescriptorProto: Buffer[] };
    expect(fileDescriptorProto[0]!.includes('HealthListResponse')).toBe(true);
    expect(unknown!['errorResponse']).toMatchObject({ errorCode: statusCodes.NOT_FOUND });
  });

  test('a malformed request ends its own call with INTERNAL, and no other', async () => {
    const call = open(() => Buffer.from([0xff, 0xff]));
    const failed = new Promise((resolve) => call.on('error', resolve));
    call.resume();
    call.write({});
    expect(await failed).toMatchObject({ code: statusCodes.INTERNAL });
    expect(await ask({ listServices: '' })).toHaveLength(1);
  });

  test('a call that is cancelled half-way harms no other', async () => {
    const call = open();
    const answered = new Promise((resolve) => call.once('data', resolve));
    const ended = new Promise((resolve) => call.once('error', resolve));
    call.write({ listServices: '' });
    await answered;
    call.cancel();
    expect(await ended).toMatchObject({ code: statusCodes.CANCELLED });
    expect(await ask({ listServices: '' })).toHaveLength(1);
  });
});
