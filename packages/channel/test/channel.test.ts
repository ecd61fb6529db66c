import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket, type Server as TcpServer } from 'node:net';
import { until } from '@coxswain/testing';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type CallError, Channel, type ChannelOptions, Status } from '../src/index.js';

const asItIs = (bytes: Buffer): Buffer => bytes;
const PATH = '/test.Test/Do';
const method = {
  path: PATH,
  requestStream: false,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
};

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0).reverse()) close();
});

type Unary = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;
type Stream = (call: ServerWritableStream<Buffer, Buffer>) => void;

async function serve(handler: Unary | Stream, responseStream = false): Promise<number> {
  const server = new Server();
  server.addService({ do: { ...method, responseStream } }, { do: handler as Unary });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  open.push(() => server.forceShutdown());
  return port;
}

const listening = (server: TcpServer): Promise<number> =>
  new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );

/** Passes flows on; `freeze` leaves those that it has open, and passes nothing more of them on. New ones work. */
async function proxy(targetPort: number) {
  const flows = new Set<{ isFrozen: boolean }>();
  const sockets = new Set<Socket>();
  const counts = { accepted: 0, asked: 0 };
  const server = createServer((near) => {
    counts.accepted++;
    const far = connect(targetPort, '127.0.0.1');
    const flow = { isFrozen: false };
    flows.add(flow);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => {
        if (from === near) counts.asked++;
        if (!flow.isFrozen) to.write(chunk);
      });
      from.on('error', () => undefined);
      from.on('close', () => flow.isFrozen || to.destroy());
    }
  });
  const port = await listening(server);
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port,
    counts,
    freeze: () => {
      for (const flow of flows) flow.isFrozen = true;
    },
  };
}

const soonSilent = { silenceMs: 200, trialMs: 200 };

function channelTo(port: number, more: Partial<ChannelOptions> = soonSilent): Channel {
  const options = { windowBytes: 65_535, backoffMsMin: 20, backoffMsMax: 20, ...soonSilent, ...more };
  const channel = new Channel(`127.0.0.1:${port}`, { tls: undefined, ...options });
  open.push(() => channel.close());
  return channel;
}

const ask = (channel: Channel, deadlineMs = 600_000): Promise<Buffer> =>
  channel.unary(method, Buffer.from('request'), { deadline: Date.now() + deadlineMs });

const failureOf = (call: Promise<unknown>): Promise<CallError> =>
  call.then(
    () => {
      throw new Error('no failure');
    },
    (error: CallError) => error,
  );

describe('a channel', () => {
  test('ends a call on a connection that was frozen, and the next one gets on by a new connection', async () => {
    const { port, freeze, counts } = await proxy(
      await serve((_, answer) => answer(null, Buffer.from('answer'))),
    );
    const channel = channelTo(port);
    expect(String(await ask(channel))).toBe('answer');
    freeze();
    const failure = await failureOf(ask(channel));
    expect(failure.code).toBe(Status.UNAVAILABLE);
    // It was sent, and nobody knows what became of it (P1).
    expect(failure.origin).toBe('lost');
    expect(String(await ask(channel))).toBe('answer');
    expect(counts.accepted).toBe(2);
  });

  test('ends a stream on a connection that was frozen', async () => {
    const { port, freeze } = await proxy(
      await serve((call: ServerWritableStream<Buffer, Buffer>) => {
        call.write(Buffer.from('first'));
      }, true),
    );
    const channel = channelTo(port);
    const stream = channel.serverStream(method, Buffer.from('request'));
    await stream.next();
    freeze();
    const failure = await failureOf(stream.next());
    expect(failure.code).toBe(Status.UNAVAILABLE);
  });

  test('lets a server take its time that is merely slow', async () => {
    let finish = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const port = await serve((_, answer) => {
      void asked.then(() => answer(null, Buffer.from('late')));
    });
    const { counts, port: proxied } = await proxy(port);
    const channel = channelTo(proxied, { silenceMs: 40, trialMs: 400 });
    const answer = ask(channel);
    // Each silence ends with an answer to what tries the connection.
    const before = counts.asked;
    await until('the connection was tried 20 times', () => counts.asked >= before + 20);
    finish();
    expect(String(await answer)).toBe('late');
    expect(counts.accepted).toBe(1);
  });

  test('dials again when what takes the connection never speaks, and keeps no such connection', async () => {
    const port = await serve((_, answer) => answer(null, Buffer.from('answer')));
    const held = new Set<Socket>();
    let isStopped = true;
    const server = createServer((near) => {
      held.add(near);
      near.on('error', () => undefined);
      near.on('close', () => held.delete(near));
      near.resume();
      if (isStopped) return;
      const far = connect(port, '127.0.0.1');
      near.pipe(far).pipe(near);
      near.on('close', () => far.destroy());
      far.on('error', () => undefined);
    });
    const channel = channelTo(await listening(server));
    open.push(() => {
      for (const socket of held) socket.destroy();
      server.close();
    });
    const first = await failureOf(ask(channel));
    expect(first.origin).toBe('neverSent');
    // The one that was given up goes; another one may be there already.
    await until('the connection that was given up is closed', () => held.size <= 1);
    isStopped = false;
    const answer = await until('the call is answered', () =>
      ask(channel).catch((error: CallError) => {
        expect(error.origin).toBe('neverSent');
        return undefined;
      }),
    );
    expect(String(answer)).toBe('answer');
  });

  test('is ready when there is a connection, and says when it is refused', async () => {
    await channelTo(await serve(() => undefined)).ready(600_000);
    const probe = createServer();
    const port = await listening(probe);
    await new Promise((resolve) => probe.close(resolve));
    await expect(channelTo(port).ready(600_000)).rejects.toThrow('ECONNREFUSED');
  });
});

describe('what becomes of the connection is reported', () => {
  /** A channel that writes down what it reports. */
  function channelThatReports(port: number): { readonly channel: Channel; readonly states: string[] } {
    const states: string[] = [];
    const onStateChange: ChannelOptions['onStateChange'] = (state, reason) =>
      states.push(reason === '' ? state : `${state}: ${reason}`);
    return { channel: channelTo(port, { onStateChange }), states };
  }

  const answering: Unary = (_, answer) => answer(null, Buffer.from('answer'));

  test('from the first call, and not before, to the end', async () => {
    const { channel, states } = channelThatReports(await serve(answering));
    expect(states).toEqual([]);
    await ask(channel);
    await ask(channel);
    expect(states).toEqual(['connecting', 'connected']);
    channel.close();
    channel.close();
    expect(states.slice(2)).toEqual(['disconnected: closed on this side']);
  });

  test('with the reason when there is none, and when the server ends it', async () => {
    const port = await serve(answering);
    const { channel, states } = channelThatReports(port);
    await ask(channel);
    const [, stop] = [open.pop(), open.pop()!];
    stop();
    await until('the loss is reported', () => states.length === 3);
    expect(states[2]).toMatch(/^disconnected: ./);
    await failureOf(ask(channel));
    expect(states.slice(3)).toEqual(['connecting', expect.stringMatching(/^failed: .*ECONNREFUSED/)]);
    channel.close();
  });

  test('with the reason when it fell silent', async () => {
    const { port, freeze } = await proxy(await serve(answering));
    const { channel, states } = channelThatReports(port);
    await ask(channel);
    freeze();
    await failureOf(ask(channel));
    expect(states.slice(2)).toEqual(['disconnected: nothing came any more']);
  });
});

// Linux shows there which timers a socket has.
const SOCKETS_FILE = '/proc/self/net/tcp';

test('an idle connection is probed by TCP if that is asked for', async () => {
  const port = await serve((_, answer) => answer(null, Buffer.from('answer')));
  for (const [tcpProbeMs, timer] of [
    [30_000, 2],
    [0, 0],
  ] as const) {
    const channel = channelTo(port, { tcpProbeMs });
    await ask(channel);
    const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    // local, remote, state (1 is established), queues, timer (2 is one of keepalive)
    const timerOf = (): number | undefined => {
      const lines = readFileSync(SOCKETS_FILE, 'latin1')
        .split('\n')
        .map((line) => line.trim().split(/\s+/));
      const found = lines.find((fields) => fields[2] === remote && fields[3] === '01');
      return found === undefined ? undefined : Number(found[5]!.split(':')[0]);
    };
    await until(`the socket has timer ${timer}`, () => timerOf() === timer);
    channel.close();
    await until('the connection is closed', () => timerOf() === undefined);
  }
});
