// Compares the codec with protobufjs by reflection (it compiles encoders and decoders at run time) and with
// ts-proto's own codecs, on @bufbuild/protobuf/wire: CPU in microseconds for a message, the best of several runs
// in turn. The figures in brackets are theirs divided by ours.
//
//   npx tsc -b packages/protocol && node packages/protocol/bench/codec.mjs
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { mvcc, regatta } from '../dist/src/index.js';

const packageFolder = dirname(dirname(fileURLToPath(import.meta.url)));
const repository = dirname(dirname(packageFolder));

/** ts-proto's own codecs for the same types, compiled. */
async function loadStock() {
  const sources = join(packageFolder, 'dist/stock');
  const bin = (name) => join(repository, 'node_modules/.bin', name);
  const options = 'env=node,esModuleInterop=true,importSuffix=.js,forceLong=bigint,oneof=unions-value';
  const template = {
    version: 'v2',
    plugins: [
      {
        local: ['node', join(packageFolder, 'node_modules/ts-proto/protoc-gen-ts_proto')],
        out: sources,
        include_imports: true,
        include_wkt: true,
        strategy: 'all',
        opt: `${options},outputServices=none,useExactTypes=false,outputJsonMethods=false,useMapType=true`,
      },
    ],
  };
  execFileSync(bin('buf'), ['generate', '--template', JSON.stringify(template)], { cwd: repository });
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

/** CPU microseconds that each of the calls takes: the best of several runs in turn, since others share the machine. */
function measure(callsPerBatch, calls) {
  const best = calls.map(() => Number.POSITIVE_INFINITY);
  for (let run = 0; run < 10; run++) {
    for (const [at, call] of calls.entries()) {
      const before = process.cpuUsage();
      let [done, cpuMicroseconds] = [0, 0];
      while (cpuMicroseconds < 80_000) {
        for (let i = 0; i < callsPerBatch; i++) call();
        done += callsPerBatch;
        const { user, system } = process.cpuUsage(before);
        cpuMicroseconds = user + system;
      }
      best[at] = Math.min(best[at], cpuMicroseconds / done);
    }
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
  const tsProto = stock[packageName][typeName];
  const reflected = reflection.lookupType(`${packageName}.v1.${typeName}`);
  const bytes = ours.encode(message).finish();
  if (!bytes.equals(tsProto.encode(message).finish())) {
    throw new Error(`${name}: encodings differ`);
  }
  const plain = reflected.decode(bytes);
  const report = (operation, calls) => {
    const [own, ...others] = measure(callsPerBatch, calls);
    const [generated, reflective] = others.map(
      (other) => `${other.toFixed(2)} (${(other / own).toFixed(1)})`,
    );
    rows[`${operation} ${name}`] = { ours: own.toFixed(2), 'ts-proto': generated, protobufjs: reflective };
  };
  report('encode', [
    () => ours.encode(message).finish(),
    () => Buffer.from(tsProto.encode(message).finish()),
    () => reflected.encode(plain).finish(),
  ]);
  report('decode', [() => ours.decode(bytes), () => tsProto.decode(bytes), () => reflected.decode(bytes)]);
}
console.table(rows);
