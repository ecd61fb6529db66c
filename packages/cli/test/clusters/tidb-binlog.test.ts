import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { OutcomeUnknownError, StatusCode } from '@coxswain/client';
import { eventually } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Command } from '../support/command.js';
import { Cluster, type ClusterNode, contentOf, untilEqual } from './cluster.js';

let leader: Cluster;
let follower: Cluster;

beforeAll(async () => {
  leader = await Cluster.start({ role: 'leader', nodes: 3, tables: ['t'] });
  await leader.untilReady();
  follower = await Cluster.start({ role: 'follower', nodes: 2, follows: leader });
  await follower.untilReady();
  await (await leader.client()).put('t', 'first', 'v');
  await untilEqual('t', leader, follower);
});

afterAll(async () => {
  await Promise.all([leader, follower].map((cluster) => cluster.stop()));
});

const run = promisify(execFile);
const hasCurl = spawnSync('curl', ['--version']).status === 0;

/** Runs a line of the seed's shell script. Where there is no curl it is done as curl does it. */
async function curl(line: string): Promise<string> {
  const [program, ...args] = line.split(' ');
  expect(program).toBe('curl');
  if (hasCurl) return (await run('curl', ['--silent', '--show-error', ...args])).stdout;
  const method = args[0] === '-X' ? args[1]! : 'GET';
  return (await fetch(args.at(-1)!, { method })).text();
}

/** JSON whose integers are read as exactly as they are written. */
function parseExactly(text: string): unknown {
  const quoted = text.replace(/([:[,]\s*)(-?\d+)(?=\s*[,}\]])/g, '$1"int:$2"');
  return JSON.parse(quoted, (_key, value: unknown) =>
    typeof value === 'string' && value.startsWith('int:') ? BigInt(value.slice(4)) : value,
  );
}

/** Keys in their order and kinds of values; what nodes are called is left out. */
function shapeOf(value: unknown, isByNode = false): unknown {
  if (value === null || typeof value !== 'object') return value === null ? 'null' : typeof value;
  if (Array.isArray(value)) return value.slice(0, 1).map((each) => shapeOf(each));
  const entries = Object.entries(value).map(([key, each]): [string, unknown] => [
    isByNode ? '*' : key,
    shapeOf(each, key === 'status' || key === 'PumpPos'),
  ]);
  return isByNode ? entries.slice(0, 1) : entries;
}

/** The seed's examples, word for word but for the second and later of several nodes. */
const seed = {
  pumpStatus: `{"status":{"ip-172-16-5-71:8250":{"nodeId":"ip-172-16-5-71:8250","host":"172.16.5.71:8250","state":"online",
    "isAlive":false,"score":0,"label":null,"maxCommitTS":412518831548007863,"updateTS":412518831338292471}},
    "CommitTS":412518831849473230,"Checkpoint":{},"ErrMsg":""}`,
  drainers: `[{"nodeId":"ip-172-16-5-70:8249","host":"172.16.5.70:8249","state":"paused","isAlive":false,"score":0,
    "label":null,"maxCommitTS":412361808537191540,"updateTS":412518474704487076}]`,
  drainerStatus: `{"PumpPos":{"ip-172-16-5-71:8250":412361808550297954},"Synced":true,"LastTS":412361808537191540,"TsMap":""}`,
  commitTs: `{"message": "get drainer's latest ts success!","code": 200,"data": {"ts": 412361808537191540}}`,
  state: `{"message":"apply action stop success!","code":200}`,
};

/** The seed's lines, as its document has them. */
const lines = {
  status: 'curl http://{IP}/status',
  metrics: 'curl http://{IP}/metrics',
  drainers: 'curl http://{IP}/drainers',
  commitTs: 'curl http://{IP}/commit_ts',
  state: 'curl -X PUT http://{IP}/state/{NodeID}/{Action}',
  binlog: 'curl http://{IP}/debug/binlog/{ts}',
  gc: 'curl -X POST http://{IP}/debug/gc/trigger',
};

const at = (node: ClusterNode, line: string): string => line.replace('{IP}', node.restAddress);

const expectShape = (text: string, example: string): void =>
  expect(shapeOf(parseExactly(text))).toEqual(shapeOf(parseExactly(example)));

interface ActionAnswer {
  readonly message: string;
  readonly code: number;
}

/** What TiUP makes of an answer: a status below 400, and then `code` must be 200. */
async function act(through: ClusterNode, nodeId: string, action: string): Promise<ActionAnswer> {
  const line = at(through, lines.state).replace('{NodeID}', nodeId).replace('{Action}', action);
  const text = await curl(line);
  return JSON.parse(text) as ActionAnswer;
}

async function pumpOf(through: ClusterNode, nodeId: string): Promise<{ state: string }> {
  const { status } = parseExactly(await curl(at(through, lines.status))) as {
    status: Record<string, { state: string }>;
  };
  return status[nodeId]!;
}

const stateOf = async (through: ClusterNode, nodeId: string): Promise<string> =>
  (await pumpOf(through, nodeId)).state;

const success = (action: string): object => ({
  message: `apply action ${action} success!`,
  code: 200,
  data: null,
});

describe("the seed's lines, with the address changed", () => {
  test('get its shapes from a Pump and from a Drainer', async () => {
    for (const node of leader.nodes) {
      const text = await curl(at(node, lines.status));
      expectShape(text, seed.pumpStatus);
      const { status, CommitTS } = parseExactly(text) as {
        status: Record<string, { host: string; isAlive: boolean; maxCommitTS: bigint; updateTS: bigint }>;
        CommitTS: bigint;
      };
      expect(Object.keys(status)).toEqual(['node-1', 'node-2', 'node-3']);
      for (const [index, pump] of Object.values(status).entries()) {
        expect(pump).toMatchObject({ host: leader.nodes[index]!.restAddress, isAlive: true });
        expect(pump.maxCommitTS).toBeLessThanOrEqual(CommitTS);
        // Clients shift a TSO to get its time.
        expect(Math.abs(Number(pump.updateTS >> 18n) - Date.now())).toBeLessThan(600_000);
      }
      expect(await curl(at(node, lines.metrics))).toContain('coxswain_ready 1');
      expect(await curl(at(node, lines.binlog).replace('{ts}', String(CommitTS)))).toMatch(
        new RegExp(`^tp:Commit start_ts:\\d+ commit_ts:${CommitTS} prewrite_key:"first" \n`),
      );
      // A script that is public greps for it.
      expect(await curl(at(node, lines.gc))).toContain('trigger gc success');
    }
    await eventually('every Pump knows both Drainers', async () => {
      const texts = await Promise.all(leader.nodes.map((node) => curl(at(node, lines.drainers))));
      return texts.every((text) => (parseExactly(text) as unknown[]).length === 2);
    });
    expectShape(await curl(at(leader.node(2), lines.drainers)), seed.drainers);
    for (const node of follower.nodes) {
      const text = await curl(at(node, lines.status));
      expectShape(text, seed.drainerStatus);
      const { PumpPos, LastTS } = parseExactly(text) as { PumpPos: Record<string, bigint>; LastTS: bigint };
      expect(PumpPos).toEqual({ 'node-1': LastTS, 'node-2': LastTS, 'node-3': LastTS });
      const commit = await curl(at(node, lines.commitTs));
      expectShape(commit, seed.commitTs);
      // Read exactly, it is the number of the Pump.
      const pump = await curl(at(leader.node(1), lines.commitTs));
      expect(parseExactly(commit)).toEqual(parseExactly(pump));
      expect(await curl(at(node, lines.metrics))).toContain('coxswain_ready 1');
      expect(await curl(at(node, lines.gc))).toContain('trigger gc success');
    }
    const { data, ...answer } = (await act(leader.node(1), 'node-1', 'nonsense')) as ActionAnswer & {
      data: null;
    };
    expect(shapeOf(answer)).toEqual(shapeOf(JSON.parse(seed.state)));
    expect([data, answer.code]).toEqual([null, 3]);
  });
});

describe('a Pump of several', () => {
  test('is paused and resumed through any node, and followers go to the others meanwhile', async () => {
    expect(await act(leader.node(1), 'node-2', 'pause')).toEqual(success('pause'));
    for (const node of leader.nodes) expect(await stateOf(node, 'node-2')).toBe('paused');
    // Both nodes of the follower cluster may have asked node 2.
    for (let turn = 0; turn < 5; turn++) {
      await (await leader.client()).put('t', `turn ${turn}`, 'v');
      await untilEqual('t', leader, follower);
    }
    expect(await act(leader.node(2), 'node-2', 'pause')).toMatchObject({
      code: 3,
      message: "this pump's state is paused, apply pause failed!",
    });
    expect(await act(leader.node(3), 'node-2', 'resume')).toEqual(success('resume'));
    expect(await stateOf(leader.node(1), 'node-2')).toBe('online');
  });

  test('loses no entry when it is closed under load, and is online when it is started again', async () => {
    const acknowledged = new Set<string>();
    const closing = leader.node(3);
    let isOver = false;
    const writer = async (node: ClusterNode): Promise<void> => {
      const client = await node.client();
      for (let i = 0; !isOver; i++) {
        const key = `load ${node.id}/${i}`;
        try {
          await client.put('t', key, 'v');
          acknowledged.add(key);
        } catch (error) {
          const { code } = error as { code: number };
          const isRefused = code === StatusCode.UNAVAILABLE || error instanceof OutcomeUnknownError;
          if (!isRefused && !isOver) throw error;
          // The pace of a writer that was refused: it waits for nothing.
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    const writers = Promise.all(leader.nodes.map(writer));
    await eventually('there is load', () => acknowledged.size > 100);
    for (const node of leader.nodes)
      expect(await pumpOf(node, 'node-3')).not.toMatchObject({ maxCommitTS: 0n });
    expect(await act(leader.node(1), 'node-3', 'close')).toEqual(success('close'));
    const { exitCode, stdout } = await closing.ended;
    isOver = true;
    // With the client of the node, which would go on asking it.
    await closing.kill();
    await writers;
    expect(exitCode).toBe(0);
    expect(stdout).toContain('the node is being closed');
    expect(await stateOf(leader.node(1), 'node-3')).toBe('offline');
    // What one node heard of it once another did not: nobody says it.
    for (const node of [leader.node(1), leader.node(2)])
      expect(await pumpOf(node, 'node-3')).toMatchObject({ isAlive: false, maxCommitTS: 0n });
    expect(await act(leader.node(1), 'node-3', 'close')).toMatchObject({ code: 3 });
    await untilEqual('t', leader, follower);
    const there = await contentOf(await follower.node(1).client(), 't');
    const keys = new Set(there.map((pair) => pair.split('=')[0]));
    expect([...acknowledged].filter((key) => !keys.has(key))).toEqual([]);
    leader.restart(3);
    await eventually(
      'it is online again',
      async () => (await stateOf(leader.node(2), 'node-3')) === 'online',
    );
    await untilEqual('t', leader, follower);
  });
});

describe('a Drainer of several', () => {
  test('stands still with its cluster while one node is paused, and ends equal', async () => {
    expect(await act(follower.node(1), 'node-2', 'pause')).toEqual(success('pause'));
    const states = () =>
      Promise.all(follower.nodes.map(async (node) => (await node.status()).tables.get('t')!.contentHash));
    const before = await states();
    await (await leader.client()).put('t', 'while paused', 'v');
    await eventually('Pumps have heard of it twice', async () => {
      const drainers = await curl(at(leader.node(1), lines.drainers));
      return drainers.includes('"state":"paused"');
    });
    expect(await states()).toEqual(before);
    for (const node of follower.nodes) expect(await curl(at(node, lines.status))).toContain('"Synced":false');
    const reset = new Command(['reset', '--table', 't', '--endpoints', follower.node(1).endpoint]);
    await eventually('the command says what it waits for', () =>
      reset.stderr.includes('replication is paused here: this goes on when every node is resumed'),
    );
    expect(await act(follower.node(1), 'node-2', 'resume')).toEqual(success('resume'));
    expect(await reset.ended).toMatchObject({ exitCode: 0, stdout: 'OK\n' });
    await untilEqual('t', leader, follower);
  });

  test('stops when it is closed through another node, and ends equal when it is started again', async () => {
    const closing = follower.node(2);
    expect(await act(follower.node(1), 'node-2', 'close')).toEqual(success('close'));
    expect((await closing.ended).exitCode).toBe(0);
    await closing.kill();
    await (await leader.client()).put('t', 'meanwhile', 'v');
    follower.restart(2);
    await follower.untilReady();
    await untilEqual('t', leader, follower);
  });
});
