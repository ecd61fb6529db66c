// Compares the codec with protobufjs by reflection (it compiles encoders and decoders at run time) and with
// ts-proto's output as generated, on stock @bufbuild/protobuf/wire. Rates are in thousands of messages a
// second; the figures in brackets are ours divided by theirs.
//
//   npx tsc -b packages/protocol && node packages/protocol/bench/codec.mjs
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { mvcc, regatta } from '../dist/src/index.js';

const packageFolder = dirname(dirname(fileURLToPath(import.meta.url)));
const repository = dirname(dirname(packageFolder));

/** ts-proto's output before scripts/generate.mjs adapts it, compiled. */
async function loadStock() {
  const scratch = join(packageFolder, 'dist/stock');
  const bin = (name) => join(repository, 'node_modules/.bin', name);
  const sources = join(scratch, 'packages/protocol/src/gen');
  execFileSync(bin('buf'), ['generate', '--output', scratch], { cwd: repository });
  const flags = '--target es2023 --module nodenext --types node --strict --skipLibCheck';
  const files = ['mvcc/v1/mvcc.ts', 'regatta/v1/regatta.ts'].map((file) => join(sources, file));
  execFileSync(bin('tsc'), ['--ignoreConfig', ...flags.split(' '), ...files], {
    cwd: packageFolder,
    stdio: 'inherit',
  });
  return {
    mvcc: await import(join(sources, 'mvcc/v1/mvcc.js')),
    regatta: await import(join(sources, 'regatta/v1/regatta.js')),
  };
}

function loadReflection() {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(repository, 'proto', target);
  return root.loadSync('regatta/v1/regatta.proto');
}

/** Calls per second: the best of several short runs, since other programs share the machine. */
function rate(callsPerBatch, call) {
  let best = 0;
  for (let run = 0; run < 8; run++) {
    const startMs = performance.now();
    let calls = 0;
    while (performance.now() - startMs < 120) {
      for (let i = 0; i < callsPerBatch; i++) call();
      calls += callsPerBatch;
    }
    best = Math.max(best, (calls / (performance.now() - startMs)) * 1000);
  }
  return best;
}

function pair(index) {
  return {
    key: Buffer.from(`key-${String(index).padStart(12, '0')}`),
    createRevision: 100_000n + BigInt(index),
    modRevision: 200_000n + BigInt(index),
    value: Buffer.alloc(256, index),
    version: 3n,
  };
}

function rangeResponse(count) {
  const header = { shardId: 10_001n, replicaId: 1n, revision: 200_100n, raftTerm: 3n, raftLeaderId: 1n };
  return {
    header,
    kvs: Array.from({ length: count }, (_, index) => pair(index)),
    more: false,
    count: BigInt(count),
  };
}

const table = Buffer.from('table-of-12b');
const { key, value } = pair(1);
const stock = await loadStock();
const reflection = loadReflection();
const cases = [
  ['Put {12 B, 16 B, 256 B}', 'regatta.PutRequest', { table, key, value, prevKv: false }, 2000],
  [
    'Command PUT {12 B, 16 B, 256 B}',
    'mvcc.Command',
    mvcc.Command.create({ table, kv: { key, value } }),
    2000,
  ],
  ['RangeResponse, 1 pair', 'regatta.RangeResponse', rangeResponse(1), 2000],
  ['RangeResponse, 100 pairs', 'regatta.RangeResponse', rangeResponse(100), 20],
  ['RangeResponse, 10000 pairs', 'regatta.RangeResponse', rangeResponse(10_000), 1],
];

const rows = {};
for (const [name, path, message, callsPerBatch] of cases) {
  const [packageName, typeName] = path.split('.');
  const ours = { mvcc, regatta }[packageName][typeName];
  const asGenerated = stock[packageName][typeName];
  const reflected = reflection.lookupType(`${packageName}.v1.${typeName}`);
  const bytes = ours.encode(message).finish();
  if (!bytes.equals(asGenerated.encode(message).finish())) {
    throw new Error(`${name}: encodings differ`);
  }
  const plain = reflected.decode(bytes);
  const measure = (call) => rate(callsPerBatch, call) / 1000;
  const report = (operation, own, generated, reflective) => {
    rows[`${operation} ${name}`] = {
      ours: own.toFixed(1),
      'as generated': `${generated.toFixed(1)} (${(own / generated).toFixed(1)})`,
      protobufjs: `${reflective.toFixed(1)} (${(own / reflective).toFixed(1)})`,
    };
  };
  report(
    'encode',
    measure(() => ours.encode(message).finish()),
    measure(() => Buffer.from(asGenerated.encode(message).finish())),
    measure(() => reflected.encode(plain).finish()),
  );
  report(
    'decode',
    measure(() => ours.decode(bytes)),
    measure(() => asGenerated.decode(bytes)),
    measure(() => reflected.decode(bytes)),
  );
}
console.table(rows);
