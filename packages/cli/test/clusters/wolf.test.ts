import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Coxswain } from '@coxswain/client';
import { wolfRaft } from '@coxswain/protocol';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { type Client, credentials, makeClientConstructor } from '@grpc/grpc-js';
import { afterEach, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { ClusterNode, contentOf } from './cluster.js';

/** `npm run acceptance -- wolf` puts 10,000. */
const puts = Number(process.env.ACCEPTANCE_WOLF_PUTS ?? 120);
const PARALLEL = 32;
const TABLE = 'shared';

const RaftClient = makeClientConstructor(wolfRaft.RaftService, 'wolf.raft.Raft');

interface Metrics {
  readonly id: number;
  readonly state: string;
  readonly last_applied: number;
  readonly current_leader: number | null;
  readonly content_hash: string;
  readonly first_log_index: number;
}

/** A cluster of its own, of one node, which is a member of the wolf.raft group: nothing else connects the members. */
class Member {
  readonly #raft: Client;

  constructor(
    readonly id: number,
    readonly node: ClusterNode,
    readonly address: string,
  ) {
    this.#raft = new RaftClient(address, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': 2,
    });
  }

  start(members: string): void {
    this.node.start('leader', [
      `--wolf.table=${TABLE}`,
      `--wolf.address=${this.address}`,
      `--wolf.members=${members}`,
      '--raft.rtt=100ms',
      // So that the log does not reach back to its begin, and what was wiped comes back by InstallSnapshot.
      '--raft.snapshot-entries=40',
      '--raft.compaction-overhead=10',
      '--storage.write-buffer-size=64KiB',
    ]);
  }

  bootstrap(count: number): Promise<wolfRaft.RaftBootstrapRes> {
    const { path, requestSerialize, responseDeserialize } = wolfRaft.RaftService.bootstrap;
    return new Promise((resolve, reject) => {
      const request = { msgId: 'b', numberOfNodes: BigInt(count) };
      this.#raft.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) =>
        error === null ? resolve(answer!) : reject(error),
      );
    });
  }

  metrics(): Promise<Metrics> {
    const { path, requestSerialize, responseDeserialize } = wolfRaft.RaftService.getMetrics;
    return new Promise((resolve, reject) => {
      const request = { msgId: 'm' };
      this.#raft.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) => {
        const response = answer?.response;
        if (error !== null) reject(error);
        else if (response?.$case !== 'okRes') reject(new Error(JSON.stringify(response)));
        else resolve(JSON.parse(response.value.metrics) as Metrics);
      });
    });
  }

  async kill(signal?: NodeJS.Signals): Promise<void> {
    await this.node.kill(signal);
  }

  close(): void {
    this.#raft.close();
  }
}

let directory: TemporaryDirectory;
let members: Member[] = [];

afterEach(async () => {
  await Promise.all(members.map((member) => member.kill()));
  for (const member of members) member.close();
  members = [];
  directory.remove();
});

/** Starts three of them, which know each other by nothing but `wolf.members`. */
async function startMembers(): Promise<string> {
  directory = new TemporaryDirectory();
  const ports = await findFreePorts(5 * 3);
  members = [0, 1, 2].map((id) => {
    const [api, rest, raft, replication, wolf] = ports.slice(5 * id) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const node = new ClusterNode(1, { api, rest, raft, replication }, join(directory.path, String(id)));
    return new Member(id, node, `127.0.0.1:${wolf}`);
  });
  const named = members.map(({ id, address }) => `${id}=${address}`).join(',');
  for (const member of members) member.start(named);
  await eventually('every node is ready', async () => {
    const answers = await Promise.all(members.map(({ node }) => node.isReady()));
    return answers.every(Boolean);
  });
  return named;
}

async function leader(running: readonly Member[]): Promise<Member> {
  let found: Member | undefined;
  await eventually('the group has a leader', async () => {
    for (const member of running) {
      const { state } = await member.metrics();
      if (state === 'Leader') found = member;
    }
    return found !== undefined;
  });
  return found!;
}

/** Puts keys by whichever node leads: the client goes on to another where one refuses. */
async function putAll(client: Coxswain, from: number, count: number): Promise<void> {
  let next = from;
  const work = async (): Promise<void> => {
    while (next < from + count) {
      const key = `key-${String(next++).padStart(6, '0')}`;
      // The same value each time: what may have happened is put again.
      await eventually(`${key} is put`, async () => {
        await client.put(TABLE, key, `value of ${key}`);
        return true;
      });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
}

async function untilEqual(running: readonly Member[]): Promise<void> {
  await eventually('every member has applied the same', async () => {
    const all = await Promise.all(running.map((member) => member.metrics()));
    const [first, ...others] = all;
    return others.every(
      ({ last_applied, content_hash }) =>
        last_applied === first!.last_applied && content_hash === first!.content_hash,
    );
  });
}

test('three nodes replicate a table over wolf.raft alone: the leader is killed, and a wiped disk is filled again', async () => {
  const named = await startMembers();
  let refused: wolfRaft.RaftBootstrapRes = { response: undefined };
  // A node is ready a moment before its start takes part.
  await eventually('the first node takes part', async () => {
    refused = await members[0]!.bootstrap(2);
    return !JSON.stringify(refused.response).includes('only just started');
  });
  expect(refused.response).toMatchObject({
    $case: 'errorRes',
    value: {
      msgId: 'b',
      code: wolfRaft.ErrorCode.RAFT_BOOTSTRAP_FAILED,
      msg: expect.stringContaining('wolf.members names 3'),
    },
  });
  expect(await members[0]!.metrics()).toMatchObject({ id: 0, state: 'NonVoter', current_leader: null });
  await eventually('the others take part, and the group is formed', async () => {
    return (await members[0]!.bootstrap(3)).response?.$case === 'okRes';
  });
  const again = await members[0]!.bootstrap(3);
  expect(again.response).toMatchObject({
    $case: 'errorRes',
    value: { code: wolfRaft.ErrorCode.RAFT_BOOTSTRAP_FAILED },
  });

  const client = await Coxswain.connect({
    endpoints: members.map(({ node }) => node.endpoint),
    timeoutMs: 60_000,
  });
  try {
    const half = Math.floor(puts / 2);
    await putAll(client, 0, half);

    const first = await leader(members);
    const rest = members.filter((member) => member !== first);
    await first.kill();
    await putAll(client, half, puts - half);
    await leader(rest);

    // It comes back without anything, and gets all of it by InstallSnapshot, since no log reaches back so far.
    rmSync(first.node.directory, { recursive: true });
    first.start(named);
    await eventually(
      'the wiped member votes again',
      async () => (await first.metrics()).state === 'Follower',
    );
    await eventually('all are equal', async () => {
      await untilEqual(members);
      return true;
    });
    expect((await first.metrics()).first_log_index).toBeGreaterThan(1);

    const contents = await Promise.all(
      members.map(async ({ node }) => contentOf(await node.client(), TABLE)),
    );
    expect(contents[0]).toHaveLength(puts);
    expect(contents[1]).toEqual(contents[0]);
    expect(contents[2]).toEqual(contents[0]);

    // It keeps its name when its nodes are started again, by whatever they are asked.
    await Promise.all(members.map((member) => member.kill('SIGTERM')));
    for (const member of members) member.start(named);
    await eventually('every node is ready again', async () => {
      const answers = await Promise.all(members.map(({ node }) => node.isReady()));
      return answers.every(Boolean);
    });
    for (const { node } of members) {
      expect([...(await node.status()).tables.keys()]).toEqual([TABLE]);
      const named = (await node.metrics()).matchAll(/^coxswain_[^#{]*\{[^}]*table="([^"]*)"/gm);
      expect([...new Set([...named].map(([, name]) => name))].sort()).toEqual(['meta', TABLE]);
    }
    const led = await leader(members);
    // Without ?table= it is of the first table.
    expect((await fetch(`http://${led.node.restAddress}/status`)).status).toBe(200);

    // It is backed up as any other table.
    const backup = await runHere([
      'backup',
      '--dir',
      join(directory.path, 'backup'),
      '--tables',
      TABLE,
      '--endpoints',
      (await leader(members)).node.endpoint,
    ]);
    expect(backup.stdout).toMatch(new RegExp(`^${TABLE}, ${puts} keys, `));

    // A node that does not lead names the one that does, and has done nothing. The leader may change meanwhile.
    let refusal = '';
    await eventually('a node that does not lead refuses a write', async () => {
      const now = await leader(members);
      const follower = members.find((member) => member !== now)!;
      // A client that knows only this node would ask it again until it gives up.
      const args = ['put', 'refused', 'v', '--table', TABLE, '--endpoints', follower.node.endpoint];
      refusal = (await runHere([...args, '--timeout', '1s'])).stderr;
      return refusal.includes(`table ${TABLE} is led by member ${now.id} at ${now.address}`);
    });
    expect(refusal).toContain('which is its wolf.raft address and takes no requests');
    expect(refusal).toMatch(/: give the API addresses of all members as --endpoints\n$/);
  } finally {
    client.close();
  }
});
