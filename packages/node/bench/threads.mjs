// What it costs to hand a request to another thread and to get the answer back: the price of a second core.
//   node packages/node/bench/threads.mjs [--seconds 3]
// `batch` requests of 300 bytes cross in one message, as one turn of the event loop would gather them, and as many
// answers of 60 bytes come back. CPU is of both threads together; `copied` passes on the bytes of all in one
// ArrayBuffer that changes hands, `objects` an object with its Buffer for each.
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { steadyState } from './steady-state.mjs';

const REQUEST_BYTES = 300;
const ANSWER_BYTES = 60;
const IN_FLIGHT_BATCHES = 4;

if (isMainThread) {
  const seconds = Number(process.argv[process.argv.indexOf('--seconds') + 1]) || 3;
  const rows = [];
  for (const form of ['objects', 'copied'])
    for (const batch of [1, 8, 64, 256]) rows.push(await measure(form, batch, seconds));
  console.table(rows);
} else {
  parentPort.on('message', (message) => {
    if (message instanceof ArrayBuffer) {
      const requests = new Uint8Array(message);
      const count = message.byteLength / REQUEST_BYTES;
      const answers = new Uint8Array(count * ANSWER_BYTES);
      for (let at = 0; at < count; at++) answers[at * ANSWER_BYTES] = requests[at * REQUEST_BYTES];
      parentPort.postMessage(answers.buffer, [answers.buffer]);
    } else {
      parentPort.postMessage(message.map(({ id, body }) => ({ id, body: body.slice(0, ANSWER_BYTES) })));
    }
  });
}

async function measure(form, batch, seconds) {
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'online');
  let answered = 0;
  let isOver = false;
  const send = () => {
    if (form === 'copied') {
      const requests = new Uint8Array(batch * REQUEST_BYTES);
      for (let at = 0; at < batch; at++) requests[at * REQUEST_BYTES] = at;
      worker.postMessage(requests.buffer, [requests.buffer]);
    } else {
      worker.postMessage(
        Array.from({ length: batch }, (_, id) => ({ id, body: new Uint8Array(REQUEST_BYTES) })),
      );
    }
  };
  worker.on('message', () => {
    answered += batch;
    if (!isOver) send();
  });
  for (let at = 0; at < IN_FLIGHT_BATCHES; at++) send();
  const { perSecond, cpuMicroseconds } = await steadyState(() => answered, { warmUpMs: 1000, seconds });
  isOver = true;
  await worker.terminate();
  return {
    form,
    batch,
    'requests/s': perSecond,
    'CPU µs': Number(cpuMicroseconds.toFixed(2)),
  };
}
