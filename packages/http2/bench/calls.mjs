// What a small gRPC call costs the server: CPU of its process, in microseconds for a call with a request of 300 bytes
// and an answer of 60, with this server, with bare node:http2 and with @grpc/grpc-js.
//
//   npx tsc -b packages/http2 && node packages/http2/bench/calls.mjs [--calls 40000] [--rounds 5]
//
// Each server is a process of its own, the client is this one and the same for all: ClientConnection. The servers take
// turns, and the best of their rounds counts, since others share the machine. In brackets: how many times ours.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import {
  ClientConnection,
  encodeHeaders,
  HeldMemory,
  MESSAGE_PREFIX_BYTES,
  MessageReader,
  ServerConnection,
} from '../dist/src/index.js';

const PATH = '/bench.Echo/Call';
const CONNECTIONS = 4;
/** How many calls each connection has under way: an idle server, and one whose writes carry many answers. */
const IN_FLIGHT = [1, 64];
const WINDOW_BYTES = 1024 * 1024;
const MESSAGE_BYTES_MAX = 1024 * 1024;

const REQUEST_FIELDS = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', PATH],
  [':authority', 'localhost'],
  ['content-type', 'application/grpc+proto'],
  ['te', 'trailers'],
];

const request = message(300);
const answer = message(60);

/** A message of a gRPC body: prefix, then bytes. */
function message(sizeBytes) {
  const bytes = Buffer.alloc(MESSAGE_PREFIX_BYTES + sizeBytes, 1);
  bytes[0] = 0;
  bytes.writeUInt32BE(sizeBytes, 1);
  return bytes;
}

/** Each resolves with the port that it listens on. */
const servers = {
  async ours() {
    const headers = encodeHeaders([
      [':status', '200'],
      ['content-type', 'application/grpc+proto'],
    ]);
    const trailers = encodeHeaders([['grpc-status', '0']]);
    const memory = new HeldMemory({ heldBytesMax: 64 * WINDOW_BYTES, answerBytesMax: 32 * WINDOW_BYTES });
    const onRequest = (stream) => {
      const reader = new MessageReader(MESSAGE_BYTES_MAX);
      return {
        onData(bytes, start, end) {
          reader.push(bytes, start, end);
        },
        onEnd() {
          if (reader.next() === undefined) throw new Error('a call without a message');
          stream.consume(reader.takenBytes);
          stream.sendHeaders(headers);
          stream.sendData(answer);
          stream.sendTrailers(trailers);
        },
        onCancel: () => undefined,
      };
    };
    const server = createServer({ noDelay: true }, (socket) => {
      new ServerConnection(socket, { streamsMax: 0, streamWindowBytes: WINDOW_BYTES, memory, onRequest });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return server.address().port;
  },

  async 'node:http2'() {
    const server = createHttp2Server();
    server.on('stream', (stream) => {
      const parts = [];
      stream.on('data', (part) => parts.push(part));
      stream.on('end', () => {
        if (Buffer.concat(parts).length !== request.length) throw new Error('a call without a message');
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc+proto' },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(answer);
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return server.address().port;
  },

  async '@grpc/grpc-js'() {
    const server = new grpc.Server();
    const same = (bytes) => bytes;
    const body = answer.subarray(MESSAGE_PREFIX_BYTES);
    const call = {
      path: PATH,
      requestStream: false,
      responseStream: false,
      requestDeserialize: same,
      responseSerialize: same,
    };
    server.addService({ call }, { call: (_call, done) => done(null, body) });
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
  },
};

if (process.send === undefined) {
  await compare();
} else {
  const port = await servers[process.argv[2]]();
  process.on('message', () => process.send(process.cpuUsage()));
  process.on('disconnect', () => process.exit());
  process.send(port);
}

async function compare() {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '40000' },
      rounds: { type: 'string', default: '5' },
    },
  });
  const contestants = await Promise.all(Object.keys(servers).map(begin));
  const rows = {};
  for (const inFlight of IN_FLIGHT) {
    const best = contestants.map(() => Number.POSITIVE_INFINITY);
    for (let round = 0; round <= Number(values.rounds); round++) {
      for (const [at, contestant] of contestants.entries()) {
        const cpuMicroseconds = await measure(contestant, Number(values.calls), inFlight);
        // The first round only lets V8 compile what is hot.
        if (round > 0) best[at] = Math.min(best[at], cpuMicroseconds);
      }
    }
    const show = ({ name }, at) => [name, `${best[at].toFixed(1)} (${(best[at] / best[0]).toFixed(1)})`];
    rows[`${CONNECTIONS} connections, ${inFlight} in flight on each`] = Object.fromEntries(
      contestants.map(show),
    );
  }
  console.table(rows);
  for (const { child } of contestants) child.disconnect();
  process.exit();
}

async function begin(name) {
  const child = fork(fileURLToPath(import.meta.url), [name]);
  const [port] = await once(child, 'message');
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => connectTo(port)));
  return { name, child, connections };
}

function connectTo(port) {
  return new Promise((resolve, reject) => {
    const connection = new ClientConnection(connect({ port, host: '127.0.0.1', noDelay: true }), {
      streamWindowBytes: WINDOW_BYTES,
      onReady: () => resolve(connection),
      onChange: () => undefined,
      onClose: (cause) => reject(cause ?? new Error('closed')),
    });
  });
}

/** CPU of the server in microseconds for a call. */
async function measure({ child, connections }, calls, inFlight) {
  const before = await cpuOf(child);
  await Promise.all(connections.map((connection) => callAll(connection, calls / CONNECTIONS, inFlight)));
  const after = await cpuOf(child);
  return (after.user + after.system - before.user - before.system) / calls;
}

async function cpuOf(child) {
  child.send('cpu');
  const [usage] = await once(child, 'message');
  return usage;
}

/** Makes so many calls on one connection, `inFlight` at a time. */
function callAll(connection, calls, inFlight) {
  return new Promise((resolve, reject) => {
    let begun = 0;
    let ended = 0;
    const begin = () => {
      begun++;
      let answerBytes = 0;
      let status;
      const stream = connection.open(REQUEST_FIELDS, [], {
        onHeaders(fields, isLast) {
          if (isLast) status = fields[fields.indexOf('grpc-status') + 1];
        },
        onData(_bytes, start, end) {
          answerBytes += end - start;
          stream.consume(end - start);
        },
        onEnd() {
          if (status !== '0' || answerBytes !== answer.length) reject(new Error('a wrong answer'));
          ended++;
          if (ended === calls) resolve();
          else if (begun < calls) begin();
        },
        onReset: (code) => reject(new Error(`reset with ${code}`)),
        onLost: (cause) => reject(cause ?? new Error('lost')),
      });
      stream.send(request, true);
    };
    for (let at = 0; at < inFlight; at++) begin();
  });
}
