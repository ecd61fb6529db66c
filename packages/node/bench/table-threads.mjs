// What tables on threads of their own would cost with one busy table, and gain with sixteen:
//   npx tsc -b packages/table && node packages/node/bench/table-threads.mjs [--seconds 4]
// The main thread hands batches of committed puts to tables on real LevelDBs, as a node's turns do, and gets an answer
// for each: on its own thread, or packed into one piece of memory to and from worker threads, each of which has a part of the
// tables. Raft, the log and the network are not in it. CPU is of all threads of the process, LevelDB's among them.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { mvcc } from '@coxswain/protocol';
import { CommandKind, LevelStoreDirectory, Table } from '../../table/dist/src/index.js';
import { steadyState } from './steady-state.mjs';

const KEYS = 10_000;
const VALUE_BYTES = 256;
/** Entries that one turn commits in all tables together, and turns under way. */
const TURN_ENTRIES = 128;
const TURNS = 2;
const ANSWER_BYTES = 16;
const sizes = { writeBufferSizeBytes: 16 << 20, cacheSizeBytes: 16 << 20 };

/** Some tables, and how batches for them are applied: index of the first entry, then length and payload of each. */
class Tables {
  static async open(path, names) {
    const directory = await LevelStoreDirectory.open(path, sizes);
    const tables = new Map();
    for (const name of names) {
      const { writeBufferSizeBytes } = sizes;
      tables.set(
        name,
        await Table.open({ directory, name, create: true, initialIndex: 0, writeBufferSizeBytes }),
      );
    }
    return new Tables(tables);
  }

  constructor(tables) {
    this.tables = tables;
  }

  async apply(name, memory) {
    const bytes = Buffer.from(memory);
    const entries = [];
    let index = Number(bytes.readBigUInt64LE(0));
    for (let at = 8; at < bytes.length; index++) {
      const end = at + 4 + bytes.readUInt32LE(at);
      const payload = bytes.subarray(at + 4, end);
      const kind = CommandKind.Command;
      entries.push({ index, term: 1, timeMs: index, kind, payload, cursor: undefined, wantsResult: true });
      at = end;
    }
    const results = await this.tables.get(name).apply(entries);
    const answers = Buffer.from(new ArrayBuffer(results.length * ANSWER_BYTES));
    for (const [place, { revision, succeeded }] of results.entries()) {
      answers.writeBigUInt64LE(BigInt(revision), place * ANSWER_BYTES);
      answers[place * ANSWER_BYTES + 8] = succeeded ? 1 : 0;
    }
    return answers.buffer;
  }

  async close() {
    for (const table of this.tables.values()) await table.close();
  }
}

const payloads = Array.from({ length: KEYS }, (_, at) => {
  const value = Buffer.alloc(VALUE_BYTES);
  for (let place = 0; place < VALUE_BYTES; place++)
    value[place] = Math.imul(at + place + 1, 2654435761) >>> 13;
  const kv = { key: Buffer.from(`user/${String(at).padStart(12, '0')}`), value };
  return Buffer.from(
    mvcc.Command.encode(mvcc.Command.fromPartial({ table: Buffer.from('t'), type: 0, kv })).finish(),
  );
});

if (!isMainThread) {
  const tables = await Tables.open(workerData.path, workerData.names);
  parentPort.on('message', async ({ name, memory }) => {
    if (name === undefined) {
      await tables.close();
      process.exit();
    }
    const answers = await tables.apply(name, memory);
    parentPort.postMessage({ name, answers }, [answers]);
  });
  parentPort.postMessage({});
} else {
  const seconds = Number(process.argv[process.argv.indexOf('--seconds') + 1]) || 4;
  const rows = [];
  for (const tables of [1, 16])
    for (const workers of [0, 1, 2]) rows.push(await measure(tables, workers, seconds));
  console.table(rows);
}

async function measure(tableCount, workerCount, seconds) {
  const path = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
  const names = Array.from({ length: tableCount }, (_, at) => `t${at}`);
  const waiting = new Map();
  const indices = new Map(names.map((name) => [name, 1]));
  const hosts = [];
  const own = workerCount === 0 ? await Tables.open(path, names) : undefined;
  for (let at = 0; at < workerCount; at++) {
    const part = names.filter((_, place) => place % workerCount === at);
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { path: join(path, String(at)), names: part },
    });
    await once(worker, 'message');
    worker.on('message', ({ name, answers }) => waiting.get(name).shift()(answers));
    hosts.push(worker);
  }
  const apply = (name, memory, place) => {
    if (own !== undefined) return own.apply(name, memory);
    return new Promise((resolve) => {
      if (!waiting.has(name)) waiting.set(name, []);
      waiting.get(name).push(resolve);
      hosts[place % workerCount].postMessage({ name, memory }, [memory]);
    });
  };
  let answered = 0;
  let isOver = false;
  let seed = 1;
  const turn = async () => {
    const each = TURN_ENTRIES / tableCount;
    await Promise.all(
      names.map(async (name, place) => {
        const chosen = [];
        for (let at = 0; at < each; at++) {
          seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
          chosen.push(payloads[(seed >>> 8) % KEYS]);
        }
        const memory = new ArrayBuffer(chosen.reduce((sum, { length }) => sum + 4 + length, 8));
        const bytes = Buffer.from(memory);
        const first = indices.get(name);
        indices.set(name, first + each);
        bytes.writeBigUInt64LE(BigInt(first), 0);
        let at = 8;
        for (const payload of chosen) {
          bytes.writeUInt32LE(payload.length, at);
          payload.copy(bytes, at + 4);
          at += 4 + payload.length;
        }
        const answers = Buffer.from(await apply(name, memory, place));
        for (let answer = 0; answer < answers.length; answer += ANSWER_BYTES) answered += answers[answer + 8];
      }),
    );
  };
  const loops = Array.from({ length: TURNS }, async () => {
    while (!isOver) {
      await turn();
      await new Promise(setImmediate);
    }
  });
  const { perSecond, cpuMicroseconds } = await steadyState(() => answered, { warmUpMs: 3000, seconds });
  isOver = true;
  await Promise.all(loops);
  await own?.close();
  for (const worker of hosts) {
    worker.postMessage({});
    await once(worker, 'exit');
  }
  rmSync(path, { recursive: true, force: true });
  return {
    tables: tableCount,
    threads: workerCount === 0 ? 'main alone' : `main and ${workerCount}`,
    'puts/s': perSecond,
    'CPU µs/put': Number(cpuMicroseconds.toFixed(1)),
  };
}
