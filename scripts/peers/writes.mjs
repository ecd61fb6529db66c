import { setTimeout as sleep } from 'node:timers/promises';
import { compare, operation } from '../../packages/client/dist/src/index.js';

const status = { NOT_FOUND: 5, FAILED_PRECONDITION: 9 };
const CALL_TIMEOUT_MS = 30_000;
/** While something is killed: what has no answer by then is not known, and another key is tried. */
const FAULT_TIMEOUT_MS = 5_000;
const IN_FLIGHT = 4;
/** Ends a load whose writes are never acknowledged. */
const LOAD_TIMEOUT_MS = 300_000;

/** The outcome of a write that nothing disturbs. Throws when it was not acknowledged. */
export async function acknowledged(outcome) {
  const { kind, reason, ...answer } = await outcome;
  if (kind !== 'acknowledged') throw new Error(`a write was not acknowledged: ${reason}`);
  return answer;
}

/** Puts `count` keys, several at a time. */
export async function putMany(client, prefix, count, value = 'value') {
  await atATime(count, (index) =>
    acknowledged(client.put(`${prefix}${pad(index)}`, `${value} ${index}`, CALL_TIMEOUT_MS)),
  );
}

/** Writes of every kind one after another, over few keys, so that most of them meet another one. */
export async function writeAllKinds(client, count, seed) {
  const random = seeded(seed);
  const key = () => `key/${random(40)}`;
  for (let index = 0; index < count; index++) {
    const value = `${seed}/${index}`;
    const kind = random(10);
    if (kind < 5) await acknowledged(client.put(key(), value, CALL_TIMEOUT_MS));
    else if (kind === 5) await acknowledged(client.delete(key(), undefined, CALL_TIMEOUT_MS));
    else if (kind === 6) {
      const from = random(40);
      await acknowledged(client.delete(`key/${from}`, `key/${from}~`, CALL_TIMEOUT_MS));
    } else {
      const mine = key();
      const parts = {
        compare: kind === 7 ? [compare.exists(mine)] : [compare.value(mine, '>', `${random(seed + 1)}`)],
        success: [operation.put(mine, value), operation.deleteRange(key()), operation.put(key(), value)],
        failure: [operation.put(mine, `other ${value}`), operation.range(key())],
      };
      await acknowledged(client.txn(parts, CALL_TIMEOUT_MS));
    }
  }
}

/** Transactions over versions and revisions, which stock servers do not know (R3). Gives how many held. */
export async function writeRevisionTxns(client, count) {
  let held = 0;
  for (let index = 0; index < count; index++) {
    const key = `swapped/${index % 5}`;
    const read = await client.get(key, { linearizable: true, timeoutMs: CALL_TIMEOUT_MS });
    const revision = read.pair?.revision ?? 0;
    const version = read.pair?.version ?? 0;
    const when = [
      compare.modRevision(key, '=', revision),
      compare.modRevision(key, '=', revision + 1),
      compare.version(key, '=', version),
      compare.version(key, '>', version),
      compare.createRevision(key, '=', 0),
    ][index % 5];
    const { succeeded } = await acknowledged(
      client.txn(
        {
          compare: [when],
          success: [operation.put(key, `held ${index}`), operation.deleteRange(`mark/${index % 3}`)],
          failure: [operation.put(key, `did not hold ${index}`), operation.put(`mark/${index % 3}`, 'x')],
        },
        CALL_TIMEOUT_MS,
      ),
    );
    if (succeeded) held++;
  }
  return held;
}

/**
 * Puts keys of their own through the clients in turn until `count` are acknowledged, while `fault` runs once a third
 * is. Gives the acknowledged ones, and how many were refused or ended unknown.
 */
export async function writeWhile(clients, prefix, count, fault) {
  const keys = new Map();
  let others = 0;
  let next = 0;
  let faultEnded;
  const deadlineMs = performance.now() + LOAD_TIMEOUT_MS;
  const writer = async () => {
    while (keys.size < count) {
      const index = next++;
      const key = `${prefix}${pad(index)}`;
      const outcome = await attempt(
        clients[index % clients.length].put(key, `value ${index}`, FAULT_TIMEOUT_MS),
      );
      if (outcome.kind === 'acknowledged') keys.set(key, `value ${index}`);
      else {
        others++;
        if (performance.now() > deadlineMs) throw new Error(`writes are not acknowledged: ${outcome.reason}`);
        await sleep(50);
      }
      if (keys.size >= count / 3) faultEnded ??= fault();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer));
  await faultEnded;
  return { keys, others };
}

/** A stock server that starts answers FAILED_PRECONDITION or NOT_FOUND for a while: the write was not done. */
async function attempt(write) {
  try {
    return await write;
  } catch (error) {
    if (![status.FAILED_PRECONDITION, status.NOT_FOUND].includes(error.cause?.code)) throw error;
    return { kind: 'refused', reason: error.message };
  }
}

async function atATime(count, act) {
  let next = 0;
  const worker = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

function pad(index) {
  return String(index).padStart(6, '0');
}

/** Whole numbers below a bound, the same ones for the same seed (xorshift32). */
function seeded(seed) {
  let state = seed + 0x9e3779b9;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}
