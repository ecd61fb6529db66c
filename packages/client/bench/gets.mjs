// What a call of the client costs: CPU of this process, and of nothing else, per get with 64 of them in flight.
//
//   node packages/client/bench/gets.mjs --endpoint 127.0.0.1:8443 [--gets 20000] [--value 100]
//
// Needs a running node, such as that of `coxswain playground --nodes 1`, and writes one key to its table `default`.
// COXSWAIN_CLIENT names another build of the client to measure: run both in turn, several times, and compare medians.
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    endpoint: { type: 'string', default: '127.0.0.1:8443' },
    gets: { type: 'string', default: '20000' },
    value: { type: 'string', default: '100' },
  },
});
const IN_FLIGHT = 64;
const WARM_UP_SHARE = 1 / 4;

const build = process.env.COXSWAIN_CLIENT;
const { Coxswain } = await import(
  build ? pathToFileURL(build).href : new URL('../dist/src/index.js', import.meta.url).href
);
const client = await Coxswain.connect({ endpoints: [values.endpoint], timeoutMs: 60_000 });
await client.put('default', 'bench', Buffer.alloc(Number(values.value), 'v'));

async function get(count) {
  let begun = 0;
  const worker = async () => {
    while (begun < count) {
      begun++;
      await client.get('default', 'bench', { linearizable: false });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

const gets = Number(values.gets);
await get(gets * WARM_UP_SHARE);
const cpuBefore = process.cpuUsage();
const beganAtMs = performance.now();
await get(gets);
const tookMs = performance.now() - beganAtMs;
const { user, system } = process.cpuUsage(cpuBefore);
client.close();
process.stdout.write(
  `${((user + system) / gets).toFixed(1)} µs of CPU a get, ${Math.round(gets / (tookMs / 1000))} gets a second\n`,
);
