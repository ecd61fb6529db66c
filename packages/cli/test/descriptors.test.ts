import { Coxswain } from '@coxswain/client';
import { findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Command } from './support/command.js';

const TABLES_MAX = 60;
/** Enough to start with, and for a handful of tables. */
const FEW_DESCRIPTORS = 160;

let directory: TemporaryDirectory;
let running: Command[];
let clients: Coxswain[];

beforeEach(() => {
  directory = new TemporaryDirectory();
  running = [];
  clients = [];
});

afterEach(async () => {
  for (const client of clients) client.close();
  await Promise.all(running.map((node) => node.stop('SIGKILL')));
  directory.remove();
});

interface Member {
  readonly endpoint: string;
  readonly flags: readonly string[];
}

async function members(count: number): Promise<Member[]> {
  const ports = await findFreePorts(3 * count);
  const raft = (id: number) => `127.0.0.1:${ports[3 * id - 1]}`;
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  return ids.map((id) => {
    const [api, rest] = ports.slice(3 * id - 3);
    const flags = [
      'leader',
      '--config=',
      `--data-dir=${directory.path}/${id}`,
      '--replication.enabled=false',
      '--raft.wal-segment-size=16MiB',
      // More than there can be: each takes its descriptors for good.
      '--storage.open-tables=1000',
      // Elections after 2 s of silence: a busy machine holds a node up for less.
      '--raft.rtt=100ms',
      `--raft.node-id=${id}`,
      `--raft.initial-members=${ids.map((member) => `${member}=${raft(member)}`).join(',')}`,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--raft.address=${raft(id)}`,
    ];
    return { endpoint: `127.0.0.1:${api}`, flags };
  });
}

async function start({ flags }: Member, descriptorsMax: number): Promise<Command> {
  const node = new Command(flags, { before: `ulimit -n ${descriptorsMax}` });
  running.push(node);
  await node.prints('"event":"node-started"');
  return node;
}

async function clientOf({ endpoint }: Member): Promise<Coxswain> {
  const client = await Coxswain.connect({ endpoints: [endpoint], timeoutMs: 60_000 });
  clients.push(client);
  return client;
}

/** Makes a table, as soon as the cluster can make one. Returns the refusal for any other reason. */
async function make(client: Coxswain, name: string): Promise<string | undefined> {
  for (;;) {
    try {
      await client.tables.create(name);
      return undefined;
    } catch (error) {
      const { message } = error as Error;
      // An answer was lost, and the table was made all the same.
      if (/already exists/.test(message)) return undefined;
      if (!/not ready|no leader|timeout|outcome unknown/.test(message)) return message;
    }
  }
}

async function refusalOf(client: Coxswain): Promise<string | undefined> {
  for (let table = 1; table < TABLES_MAX; table++) {
    const refusal = await make(client, `t${table}`);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

describe('a table for which there are too few descriptors is refused', () => {
  test('by the member that has too few, and by the others, which name it; every node goes on and starts again', async () => {
    const three = await members(3);
    const nodes = await Promise.all(
      three.map((member, index) => start(member, index === 2 ? FEW_DESCRIPTORS : 4096)),
    );
    const client = await clientOf(three[0]!);
    expect(await refusalOf(client)).toMatch(`node 3 has too few of its ${FEW_DESCRIPTORS} descriptors left`);
    expect(nodes.map(({ child }) => child.exitCode)).toEqual([null, null, null]);
    await nodes[2]!.prints('"event":"few-descriptors"');
    const there = await clientOf(three[2]!);
    expect(await make(there, 'last')).toMatch(
      new RegExp(
        `this node has \\d+ of ${FEW_DESCRIPTORS} descriptors in use.*raise ulimit -n \\(LimitNOFILE`,
      ),
    );
    await there.put('t1', 'key', 'value');

    await nodes[2]!.stop();
    const again = await start(three[2]!, FEW_DESCRIPTORS);
    await again.prints('"event":"few-descriptors"');
    await there.put('t1', 'key', 'other');
    await again.stop();

    // With a higher limit it says so, and tables are made again.
    await start(three[2]!, 4096);
    let refusal = await make(client, 'last');
    while (refusal?.includes('node 3 has too few')) refusal = await make(client, 'last');
    expect(refusal).toBeUndefined();
  });
});

test('a node has more tables than descriptors where it closes those that are not used', async () => {
  const [alone] = await members(1);
  const openTables = '--storage.open-tables=0';
  const node = { ...alone!, flags: [...alone!.flags, openTables] };
  const descriptorsMax = 4 * TABLES_MAX;
  const first = await start(node, descriptorsMax);
  const client = await clientOf(node);
  expect(await refusalOf(client)).toBeUndefined();
  const names = Array.from({ length: TABLES_MAX - 1 }, (_, index) => `t${index + 1}`);
  await Promise.all(names.map((name) => client.put(name, 'key', name)));
  // All at once, and after a start that opens each of them.
  const valuesOf = async (reader: Coxswain) =>
    await Promise.all(names.map(async (name) => (await reader.get(name, 'key'))?.value.toString()));
  expect(await valuesOf(client)).toEqual(names);
  await first.stop('SIGKILL');
  await start(node, descriptorsMax);
  const again = await clientOf(node);
  for (const name of names) await again.put(name, 'other', name);
  expect(await valuesOf(again)).toEqual(names);
});
