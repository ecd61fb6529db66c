// What frames between nodes cost, against the same content in protobuf: CPU in microseconds to make a frame of one
// append of so many puts of 16 + 256 bytes, and to read it.
//
//   npx tsc -b packages/node && node packages/node/bench/frames.mjs
//
// The protobuf messages are the ones below, in codecs of packages/protocol/generator. Both sides begin and end with
// the core's messages, whose terms and indices are numbers.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mvcc } from '@coxswain/protocol';
import { build } from 'esbuild';
import { FrameReader, FrameWriter } from '../dist/src/cluster/frame.js';

const repository = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const [FROM, TO, GROUP, TERM] = [1, 2, 10_001, 7];

const SCHEMA = `
syntax = "proto3";
package peer.v1;
message Frame {
  bytes cluster_id = 1;
  uint32 from = 2;
  bytes incarnation = 3;
  bytes boot = 4;
  uint64 meta_applied = 5;
  uint64 position = 6;
  uint64 time_ms = 7;
  bool is_admitted = 8;
  repeated GroupMessage messages = 9;
}
message GroupMessage {
  uint64 group = 1;
  oneof message {
    Append append = 2;
  }
}
message Append {
  uint64 term = 1;
  uint64 prev_index = 2;
  uint64 prev_term = 3;
  uint64 commit = 4;
  bool is_to_answer = 5;
  repeated Entry entries = 6;
}
message Entry {
  uint32 type = 1;
  uint64 term = 2;
  bytes data = 3;
}
`;

/** Generates and loads the codec of the schema above. */
async function loadFrame() {
  const scratch = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
  try {
    mkdirSync(join(scratch, 'src'));
    writeFileSync(join(scratch, 'peer.proto'), SCHEMA);
    symlinkSync(join(repository, 'packages/protocol/src/wire'), join(scratch, 'src/wire'));
    const plugin = {
      local: ['node', join(repository, 'packages/protocol/generator/main.mjs')],
      out: 'src/gen',
      opt: ['target=ts', 'import_extension=js'],
    };
    const template = JSON.stringify({ version: 'v2', plugins: [plugin] });
    const buf = join(repository, 'node_modules/.bin/buf');
    execFileSync(buf, ['generate', '--template', template], { cwd: scratch });
    const outfile = join(scratch, 'peer.mjs');
    await build({
      entryPoints: [join(scratch, 'src/gen/peer.ts')],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      preserveSymlinks: true,
    });
    return (await import(outfile)).Frame;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const Frame = await loadFrame();
const header = {
  clusterId: 'ab'.repeat(16),
  from: FROM,
  incarnation: '0123456789abcdef',
  boot: 'fedcba9876543210',
  metaApplied: 42,
  position: 123_456_789,
  timeMs: 1_700_000_000_000,
  isAdmitted: true,
};

function append(count) {
  const data = mvcc.Command.encode(
    mvcc.Command.create({
      table: Buffer.from('default'),
      kv: { key: Buffer.alloc(16, 'k'), value: Buffer.alloc(256, 'v') },
    }),
  ).finish();
  const prevIndex = 1_000_000;
  const entries = Array.from({ length: count }, (_, at) => ({
    index: prevIndex + 1 + at,
    type: 1,
    term: TERM,
    data,
  }));
  const range = { prevIndex, prevTerm: TERM, commit: prevIndex, entries, isToAnswer: true };
  return { type: 'append', from: FROM, to: TO, term: TERM, ...range };
}

const writer = new FrameWriter(TO);

const ours = {
  encode(message) {
    writer.raft(GROUP, message);
    return writer.take(header);
  },
  decode(bytes) {
    const reader = new FrameReader(bytes, TO);
    return { header: reader.header, message: reader.next().message };
  },
};

const protobuf = {
  encode(message) {
    const { clusterId, incarnation, boot } = header;
    return Frame.encode({
      clusterId: Buffer.from(clusterId, 'hex'),
      from: header.from,
      incarnation: Buffer.from(incarnation, 'hex'),
      boot: Buffer.from(boot, 'hex'),
      metaApplied: BigInt(header.metaApplied),
      position: BigInt(header.position),
      timeMs: BigInt(header.timeMs),
      isAdmitted: header.isAdmitted,
      messages: [
        {
          group: BigInt(GROUP),
          message: {
            $case: 'append',
            value: {
              term: BigInt(message.term),
              prevIndex: BigInt(message.prevIndex),
              prevTerm: BigInt(message.prevTerm),
              commit: BigInt(message.commit),
              isToAnswer: message.isToAnswer,
              entries: message.entries.map(({ type, term, data }) => ({ type, term: BigInt(term), data })),
            },
          },
        },
      ],
    }).finish();
  },
  decode(bytes) {
    const frame = Frame.decode(bytes);
    const { value } = frame.messages[0].message;
    const prevIndex = Number(value.prevIndex);
    return {
      header: {
        clusterId: frame.clusterId.toString('hex'),
        from: frame.from,
        incarnation: frame.incarnation.toString('hex'),
        boot: frame.boot.toString('hex'),
        metaApplied: Number(frame.metaApplied),
        position: Number(frame.position),
        timeMs: Number(frame.timeMs),
        isAdmitted: frame.isAdmitted,
      },
      message: {
        type: 'append',
        from: frame.from,
        to: TO,
        term: Number(value.term),
        prevIndex,
        prevTerm: Number(value.prevTerm),
        commit: Number(value.commit),
        entries: value.entries.map(({ type, term, data }, at) => ({
          index: prevIndex + 1 + at,
          type,
          term: Number(term),
          data,
        })),
        isToAnswer: value.isToAnswer,
      },
    };
  },
};

/** CPU microseconds that each of the calls takes: the best of several runs in turn, since others share the machine. */
function measure(calls) {
  const best = calls.map(() => Number.POSITIVE_INFINITY);
  for (let run = 0; run < 12; run++) {
    for (const [at, call] of calls.entries()) {
      const before = process.cpuUsage();
      let [done, cpuMicroseconds] = [0, 0];
      while (cpuMicroseconds < 80_000) {
        for (let i = 0; i < 100; i++) call();
        done += 100;
        const { user, system } = process.cpuUsage(before);
        cpuMicroseconds = user + system;
      }
      best[at] = Math.min(best[at], cpuMicroseconds / done);
    }
  }
  return best;
}

const rows = {};
for (const puts of [1, 8, 64, 512]) {
  const message = append(puts);
  const [frame, other] = [ours.encode(message), protobuf.encode(message)];
  const decoded = [ours.decode(frame), protobuf.decode(other)].map((value) => JSON.stringify(value));
  if (decoded[0] !== decoded[1]) throw new Error('the two differ');
  const report = (name, calls) => {
    const [own, protobufs] = measure(calls);
    rows[`${name} ${puts} puts`] = {
      frame: own.toFixed(2),
      protobuf: `${protobufs.toFixed(2)} (${(protobufs / own).toFixed(1)})`,
      'frame, bytes': frame.length,
      'protobuf, bytes': other.length,
    };
  };
  report('encode', [() => ours.encode(message), () => protobuf.encode(message)]);
  report('decode', [() => ours.decode(frame), () => protobuf.decode(other)]);
}
console.table(rows);
