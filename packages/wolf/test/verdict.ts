import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { type ClientRequest, readAppendEntries, WolfError, writeAppendEntries } from '../src/index.js';
import { JsonError } from '../src/json-reader.js';
import { membershipJson } from '../src/membership.js';
import { memstorePairs } from '../src/memstore-state.js';
import { serialPut } from '../src/serial-put.js';
import { SnapshotDocumentReader } from '../src/snapshot-document.js';
import type { Text, TextKind } from './texts.js';

/** What a parser of this package makes of a text: what its writer prints of it, or why it is refused. */
export type Verdict = { readonly printed: string } | { readonly refused: string };

/** Throws for any error but the declared ones. */
export function verdictOf([kind, text]: Text): Verdict {
  try {
    return { printed: read[kind](text) };
  } catch (error) {
    if (error instanceof WolfError || error instanceof JsonError) return { refused: error.message };
    throw error;
  }
}

const read: Readonly<Record<TextKind, (text: string) => string>> = {
  append: (text) => writeAppendEntries(readAppendEntries(text)),
  snapshot: (text) => {
    const reader = new SnapshotDocumentReader();
    // In pieces of every size, so that each byte is the first of one and the last of one sooner or later.
    const bytes = Buffer.from(text);
    const state: Buffer[] = [];
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size % 7) + 1)
      state.push(reader.push(bytes.subarray(at, Math.min(at + size, bytes.length))));
    const { index, term, membership } = reader.end();
    const data = [...Buffer.concat(state)].join(',');
    return `{"index":${index},"term":${term},"membership":${membershipJson(membership)},"data":[${data}]}`;
  },
  apply: (text) => {
    const pairs = new Map<string, string>();
    for (const request of JSON.parse(text) as Omit<ClientRequest, 'command'>[]) {
      // As the table does it: see entries.test.ts.
      const { compare, failure } = mvcc.Command.decode(serialPut(request)).txn!;
      const [{ key, targetUnion }] = compare as [mvcc.Compare];
      assert(targetUnion?.$case === 'value');
      if (pairs.get(key.toString('hex')) === targetUnion.value.toString('hex')) continue;
      for (const { request: put } of failure) {
        assert(put?.$case === 'requestPut');
        pairs.set(put.value.key.toString('hex'), put.value.value.toString('hex'));
      }
    }
    return JSON.stringify([...pairs].sort(([a], [b]) => (a < b ? -1 : 1)));
  },
  state: (text) =>
    JSON.stringify(memstorePairs(text).map(({ key, value }) => [key.toString('hex'), value.toString('hex')])),
};

/** What the real parser makes of it, in the same form; null where it refuses it. */
function realVerdictOf(kind: TextKind, printed: string | null): string | null {
  if (printed === null) return null;
  if (kind !== 'state' && kind !== 'apply') return inOneOrder(printed);
  const { client_serial_responses, client_status } = JSON.parse(printed) as {
    client_serial_responses: Record<string, [number, string | null]>;
    client_status: Record<string, string>;
  };
  const hex = (text: string) => Buffer.from(text).toString('hex');
  const pairs = [
    ...Object.entries(client_status).map(([client, status]) => [hex(client), hex(status)] as const),
    ...Object.entries(client_serial_responses).map(
      ([client, [serial]]) => [`ff73${hex(client)}`, hex(`${serial}`)] as const,
    ),
  ];
  return JSON.stringify(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The real printer has the members in random order: a HashSet has none. */
function inOneOrder(printed: string): string {
  return printed.replace(/"(members(?:_after_consensus)?)":\[([\d,]*)\]/g, (_, name: string, ids: string) => {
    const sorted = ids === '' ? [] : ids.split(',').sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
    return `"${name}":[${sorted.join(',')}]`;
  });
}

/** Undefined where both agree; else what differs. An integer that this node cannot keep is the one thing that may. */
export function differenceOf(text: Text, realPrinted: string | null): string | undefined {
  const [kind] = text;
  const real = realVerdictOf(kind, realPrinted);
  const ours = verdictOf(text);
  if ('refused' in ours) {
    const isTooLarge = ours.refused.includes('above 2^53-1');
    return real === null || isTooLarge ? undefined : `refused here: ${ours.refused}`;
  }
  if (real === null) return 'refused by the real one';
  return inOneOrder(ours.printed) === real
    ? undefined
    : `here ${ours.printed}, by the real one ${realPrinted}`;
}
