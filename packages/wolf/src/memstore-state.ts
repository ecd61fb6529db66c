import type { SnapshotPair } from '@coxswain/table';
import { JsonReader } from './json-reader.js';
import { option, type Read, string, struct, u64 } from './serde.js';
import { serialKey } from './serial-put.js';

/** Reads a HashMap; of a key that comes twice, the last value counts, as in serde. */
function map<T>(read: Read<T>): Read<ReadonlyMap<string, T>> {
  return (json) => {
    const values = new Map<string, T>();
    for (const key of json.keys()) values.set(key, read(json));
    return values;
  };
}

const text = option(string);

/** Reads the last serial of a client. The answer to it, which nobody asks a follower for, is skipped. */
const serialResponse: Read<number> = (json) => {
  let serial: number | undefined;
  let count = 0;
  for (const _ of json.elements()) {
    if (count++ === 0) serial = u64(json);
    else text(json);
  }
  return count === 2 ? serial! : json.fail('a serial and its answer are two elements');
};

const state = struct<{
  last_applied_log: number;
  client_serial_responses: ReadonlyMap<string, number>;
  client_status: ReadonlyMap<string, string>;
}>('the state of a memstore', {
  last_applied_log: u64,
  client_serial_responses: map(serialResponse),
  client_status: map(string),
});

/** Returns, in key order, the pairs that stand for a memstore's state in a table. Throws JsonError. */
export function memstorePairs(json: string): SnapshotPair[] {
  const { client_status, client_serial_responses } = new JsonReader(json).whole(state);
  const pairs: SnapshotPair[] = [];
  for (const [client, status] of client_status)
    pairs.push({ key: Buffer.from(client), value: Buffer.from(status) });
  for (const [client, serial] of client_serial_responses)
    pairs.push({ key: serialKey(Buffer.from(client)), value: Buffer.from(String(serial)) });
  return pairs.sort((a, b) => a.key.compare(b.key));
}
