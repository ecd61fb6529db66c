import { request } from 'node:http';
import { regatta } from '@coxswain/protocol';
import { until } from '@coxswain/testing';
import type { OneNode } from './one-node.js';
import type { Rpc } from './rpc.js';

const { put } = regatta.KVService;

/** An answer of the REST listener, its body as it came. */
export interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

export function ask(
  node: OneNode,
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(node.server.restUrl);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode!,
          type: response.headers['content-type'],
          body: Buffer.concat(parts).toString(),
        }),
      );
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

export const change = (node: OneNode, nodeId: string, action: string): Promise<Answer> =>
  ask(node, `/state/${nodeId}/${action}`, { method: 'PUT' });

export const indented = (message: string, code: number): string =>
  `{\n  "message": ${JSON.stringify(message)},\n  "code": ${code},\n  "data": null\n}\n`;

export const JSON_TYPE = 'application/json; charset=UTF-8';
export const TEXT_TYPE = 'text/plain; charset=utf-8';

/** Reads JSON whose integers go beyond 2^53: each stays the text that it was. */
function parseExactly(text: string): unknown {
  return JSON.parse(text.replace(/([:[,]\s*)(-?\d+)(?=\s*[,}\]])/g, '$1"$2"'));
}

export const putOf = (rpc: Rpc, table: string, key: string, value = 'v') =>
  rpc.call(put, { table: Buffer.from(table), key: Buffer.from(key), value: Buffer.from(value) });

export async function commitTs(node: OneNode, table: string): Promise<string> {
  const { body } = await ask(node, `/commit_ts?table=${table}`);
  const { data } = parseExactly(body) as { data: { ts: string } };
  return data.ts;
}

/** Waits until the follower cluster has what the leader cluster has of a table by now. */
export async function untilSynced(leader: OneNode, follower: OneNode, table: string): Promise<void> {
  const wanted = await commitTs(leader, table);
  await until(`table ${table} is synced`, async () => {
    const { status, body } = await ask(follower, `/status?table=${table}`);
    // It is made there with the next look at the leader cluster's tables.
    if (status !== 200) return false;
    const { Synced, LastTS } = parseExactly(body) as { Synced: boolean; LastTS: string };
    return Synced && BigInt(LastTS) >= BigInt(wanted);
  });
}
