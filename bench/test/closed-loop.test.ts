import { regatta } from '@coxswain/protocol';
import { until } from '@coxswain/testing';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { ClosedLoop, type LoadSpecification } from '../src/load/closed-loop.js';
import { regattaDialect, regattaDialectOf, tableNames } from '../src/load/regatta-dialect.js';

type Handler = (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => void;

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.forceShutdown();
});

async function serve(handler: Handler, port = 0, options = {}): Promise<{ server: Server; port: number }> {
  const identity = (bytes: Buffer): Buffer => bytes;
  const shape = {
    requestStream: false,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  } as const;
  const server = new Server(options);
  server.addService(
    {
      range: { path: regattaDialect.rangePath, ...shape },
      put: { path: regattaDialect.putPath, ...shape },
    },
    { range: handler, put: handler },
  );
  servers.push(server);
  const boundPort = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { server, port: boundPort };
}

const echo: Handler = (call, callback) => callback(null, call.request);

function load(ports: readonly number[], changes: Partial<LoadSpecification> = {}): LoadSpecification {
  return {
    workload: 'put',
    keyCount: 1000,
    valueSizeBytes: 256,
    answersHoldData: false,
    endpoints: ports.map((port) => `127.0.0.1:${port}`),
    connectionCount: 3,
    inFlight: 16,
    extent: { callCount: 400 },
    ...changes,
  };
}

describe('the closed loop', () => {
  test('makes exactly the calls it was asked for, and every one reaches the server', async () => {
    let callCount = 0;
    const { port } = await serve((call, callback) => {
      callCount++;
      echo(call, callback);
    });
    const result = await new ClosedLoop(load([port]), regattaDialect).run();
    expect(result.callCount).toBe(400);
    expect(callCount).toBe(400);
    expect(result.errors).toEqual({});
    expect(result.p50Ms).toBeGreaterThan(0);
    expect(result.p99Ms).toBeGreaterThanOrEqual(result.p50Ms);
  });

  test('spreads even a single client over every endpoint', async () => {
    const callCounts = [0, 0, 0];
    const ports: number[] = [];
    for (const index of callCounts.keys()) {
      const { port } = await serve((call, callback) => {
        callCounts[index]!++;
        echo(call, callback);
      });
      ports.push(port);
    }
    await new ClosedLoop(load(ports, { inFlight: 1, extent: { callCount: 300 } }), regattaDialect).run();
    expect(callCounts).toEqual([100, 100, 100]);
  });

  test('fills all tables alike, and then spreads its calls over them', async () => {
    const tables = tableNames(3);
    let seen: regatta.PutRequest[] = [];
    const { port } = await serve((call, callback) => {
      seen.push(regatta.PutRequest.decode(call.request));
      echo(call, callback);
    });
    const dialects = tables.map(regattaDialectOf);
    const run = (workload: 'fill' | 'put') =>
      new ClosedLoop(load([port], { workload, extent: { callCount: 600 } }), ...dialects).run();
    await run('fill');
    const keysOf = (name: string) =>
      seen.filter(({ table }) => table.toString() === name).map(({ key }) => key.toString());
    for (const table of tables) expect(new Set(keysOf(table)).size).toBe(200);
    seen = [];
    await run('put');
    for (const table of tables) expect(keysOf(table).length).toBeGreaterThan(100);
  });

  test('counts answers with an error status by that status, and never as calls', async () => {
    let index = 0;
    const { port } = await serve((call, callback) => {
      index++;
      if (index % 4 === 0) callback({ code: status.UNAVAILABLE, details: 'nobody leads' });
      else echo(call, callback);
    });
    const result = await new ClosedLoop(load([port]), regattaDialect).run();
    expect(result.errors).toEqual({ 'grpc-status 14': 100 });
    expect(result.callCount).toBe(300);
  });

  test('counts an answer without the data that was asked for as an error', async () => {
    const { port } = await serve((_call, callback) => callback(null, Buffer.alloc(0)));
    const specification = load([port], { workload: 'read-serializable', answersHoldData: true });
    const result = await new ClosedLoop(specification, regattaDialect).run();
    expect(result.errors).toEqual({ 'short answer': 400 });
  });

  test('reads answers that span frames and flow-control windows', async () => {
    const answer = Buffer.alloc(1_000_000);
    const { port } = await serve((_call, callback) => callback(null, answer));
    const specification = load([port], {
      workload: 'range-100',
      answersHoldData: true,
      extent: { callCount: 50 },
    });
    const result = await new ClosedLoop(specification, regattaDialect).run();
    expect(result).toMatchObject({ callCount: 50, errors: {} });
  });

  test('holds back what the peer does not allow to be under way', async () => {
    let callCount = 0;
    let callCountMax = 0;
    const { port } = await serve(
      (call, callback) => {
        callCountMax = Math.max(callCountMax, ++callCount);
        setImmediate(() => {
          callCount--;
          echo(call, callback);
        });
      },
      0,
      { 'grpc.max_concurrent_streams': 5 },
    );
    const specification = load([port], { connectionCount: 1, inFlight: 64, valueSizeBytes: 4000 });
    const result = await new ClosedLoop(specification, regattaDialect).run();
    expect(result).toMatchObject({ callCount: 400, errors: {} });
    expect(callCountMax).toBeLessThanOrEqual(5);
  });

  test('counts the calls that a lost connection takes with it, and goes on when the server is back', async () => {
    const callCounts = [0, 0];
    const first = await serve((call, callback) => {
      callCounts[0]!++;
      // The last calls before the loss are never answered, so some are surely under way.
      if (callCounts[0]! < 200) echo(call, callback);
    });
    const loop = new ClosedLoop(load([first.port], { extent: { callCount: 1000 } }), regattaDialect);
    const running = loop.run();
    await until('200 calls have come', () => callCounts[0]! >= 200);
    first.server.forceShutdown();
    await serve((call, callback) => {
      callCounts[1]!++;
      echo(call, callback);
    }, first.port);
    const result = await running;
    const lost = Object.entries(result.errors).filter(([name]) =>
      /connection lost|RST_STREAM|GOAWAY/.test(name),
    );
    const lostCount = lost.reduce((sum, [, count]) => sum + count, 0);
    expect(lostCount).toBeGreaterThan(0);
    expect(lostCount).toBe(Object.values(result.errors).reduce((sum, count) => sum + count, 0));
    expect(result.callCount + lostCount).toBe(1000);
    expect(callCounts[1]!).toBeGreaterThan(0);
  });

  test('says which endpoint cannot be reached', async () => {
    const { server, port } = await serve(echo);
    server.forceShutdown();
    await expect(new ClosedLoop(load([port]), regattaDialect).run()).rejects.toThrow(
      `cannot connect to 127.0.0.1:${port}`,
    );
  });
});
