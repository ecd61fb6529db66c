import { defaultNodeOptions } from '@coxswain/node';
import { defaultFollowerOptions, Follower } from '@coxswain/replication';
import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { Cluster } from '../src/cluster.js';
import { EventLoop, Invariants, SeededRandom, SimulatedNetwork, Trace } from '../src/index.js';
import { Machine } from '../src/machine.js';
import { StockLeader, StockLink, type StockRelease } from '../src/stock-leader.js';
import { readAll, wholeRange } from '../src/table-reading.js';

const TABLE = 't';
const VIRTUAL_BOUND_US = 60_000_000;

const network = {
  delayMinUs: 100,
  delayMeanUs: 100,
  detectMeanUs: 1_000,
  redialMeanUs: 20_000,
  silenceUs: 400_000,
  breakWhenBlockedProbability: 0,
  backlogBytesMax: 64 * 1024 * 1024,
  dropProbability: 0,
  duplicateProbability: 0,
  reorderProbability: 0,
  bulkBreakProbability: 0,
};
const machine = {
  disk: { writeMeanUs: 20, syncMeanUs: 200, slowSyncProbability: 0, slowSyncUs: 0 },
  stores: { writeMeanUs: 30, flushMeanUs: 500, scanMeanUs: 30, awakeMax: 1_000 },
  clockDriftMax: 0,
  clockOffsetMsMax: 0,
};

/** A follower cluster of three real nodes before a stock leader cluster, whose link breaks now and then. */
function world(seed: number, age: StockRelease) {
  const random = new SeededRandom(seed);
  const loop = new EventLoop(new Trace());
  const leader = new StockLeader(TABLE, age);
  const ids = [1, 2, 3];
  const links = new SimulatedNetwork(loop, random.fork('network'), network);
  const machines = ids.map((id) => new Machine(id, loop, links, random.fork(`machine ${id}`), machine));
  let breakProbability = 0.02;
  const cluster = new Cluster(loop, machines, new Invariants(), {
    nodeOptions: (id) => ({
      ...defaultNodeOptions,
      role: 'follower',
      nodeId: id,
      nodeName: `node-${id}`,
      initialMembers: new Map(ids.map((each) => [each, `node-${each}:5012`])),
      clientUrls: [],
      version: '0.0.0',
      tickMs: 20,
      initialTables: [],
    }),
    fragileMachine: undefined,
    onDeath: () => undefined,
    onServing: (id, node, process, environment) => {
      const way = random.fork(`way of process ${process.id}`);
      const { clock } = environment;
      const link = new StockLink(leader, loop, way, process, clock, () => breakProbability);
      const follower = new Follower(
        node,
        { ...environment, link },
        {
          ...defaultFollowerOptions,
          pollIntervalMs: 100,
          reconcileIntervalMs: 1_000,
          followerName: `node-${id}`,
        },
      );
      follower.start();
      return follower;
    },
  });
  const until = async (isReached: () => boolean): Promise<void> => {
    const endUs = loop.nowUs + VIRTUAL_BOUND_US;
    await loop.run(() => {
      cluster.observe();
      if (loop.nowUs > endUs) throw new Error(`not in time\n${cluster.describe()}`);
      return isReached();
    });
  };
  const isEqual = (): boolean => {
    const nodes = cluster.nodes();
    return (
      nodes.length === ids.length &&
      nodes.every(({ node }) => node.reports.status().tables[0]?.leaderIndex === leader.appliedIndex)
    );
  };
  const heal = () => {
    breakProbability = 0;
  };
  return { leader, cluster, ids, until, isEqual, heal, random };
}

interface Item {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

async function recordsOf(
  { node, server }: ReturnType<Cluster['nodes']>[number],
  until: (isReached: () => boolean) => Promise<void>,
): Promise<Item[]> {
  let records: Item[] | undefined;
  let isOver = false;
  const read = async () => {
    const call = { deadlineMs: server.monotonicMs() + 5_000 };
    const readable = await node.kv.read(TABLE, { linearizable: false }, call);
    const all = await readAll(readable.table, wholeRange, (revision) => readable.header(revision));
    records = all.records.map(({ key, value, modRevision }) => ({
      key: key.toString(),
      value: value.toString(),
      modRevision,
    }));
  };
  // A shard that takes over just now is asked again.
  read().then(
    () => {
      isOver = true;
    },
    () => {
      isOver = true;
    },
  );
  await until(() => isOver);
  return records ?? [];
}

const pairsOf = (records: readonly Item[]) => records.map(({ key, value }) => `${key}=${value}`).sort();
const contentOf = (leader: StockLeader) => leader.log.state.content().sort();

describe('a follower cluster of a stock leader cluster', () => {
  test.each([
    ['0.5', { hasTerminal: true, hasInnerIndex: true, collectsGarbage: false }],
    [
      '0.5, which leaves out the inner index',
      { hasTerminal: true, hasInnerIndex: false, collectsGarbage: false },
    ],
    ["the seed's days", { hasTerminal: false, hasInnerIndex: true, collectsGarbage: false }],
    ['Armada', { hasTerminal: true, hasInnerIndex: true, collectsGarbage: true }],
  ])('of %s ends equal, with its indices as revisions, by log and by snapshot', async (_, age) => {
    for (const seed of sized([1], [1, 2])) {
      const { leader, cluster, ids, until, isEqual, heal, random } = world(seed, age);
      for (const id of ids) cluster.start(id);
      for (let round = 0; round < sized(3, 8); round++) {
        for (let at = 0; at < 30; at++) {
          const key = `k${random.integer(0, 20)}`;
          if (age.collectsGarbage && random.chance(0.1)) leader.collectGarbage();
          else if (random.chance(0.2)) leader.delete(key);
          else if (random.chance(0.1)) leader.internal();
          else leader.put(key, `v${round}.${at}`);
        }
        // In some rounds nobody has followed by the time that the log goes.
        if (round % 3 === 2) {
          for (const id of ids) if (cluster.isUp(id)) cluster.kill(id, 'killed');
          leader.put('while nobody looked', `${round}`);
          leader.compact();
          for (const id of ids) cluster.start(id);
        }
        await until(isEqual);
      }
      heal();
      await until(isEqual);
      for (const at of cluster.nodes()) {
        const records = await recordsOf(at, until);
        expect(pairsOf(records)).toEqual(contentOf(leader));
        for (const { key, modRevision } of records) {
          // By log a key has the index of its write; by snapshot that of the snapshot, which is no earlier.
          expect(modRevision).toBeGreaterThanOrEqual(leader.revisions.get(key)!);
          expect(modRevision).toBeLessThanOrEqual(leader.appliedIndex);
        }
      }
    }
  });

  test('takes a table anew that was deleted and made again between two looks, however long its log is by now', async () => {
    for (const seed of sized([1], [1, 2])) {
      const age = { hasTerminal: true, hasInnerIndex: true, collectsGarbage: false };
      const { leader, cluster, ids, until, isEqual, heal, random } = world(seed, age);
      for (const id of ids) cluster.start(id);
      const write = (count: number, value: string) => {
        for (let at = 0; at < count; at++) leader.put(`k${random.integer(0, 20)}`, `${value}.${at}`);
      };
      let lives = 0;
      for (let round = 0; round < sized(3, 5); round++) {
        write(random.integer(1, 30), `${round}`);
        await until(isEqual);
        const before = leader.appliedIndex;
        if (random.chance(0.4)) write(random.integer(1, 30), `${round} unseen`);
        leader.recreate();
        write(before + random.integer(20, 60), `again ${round}`);
        // What the last entries are is no help.
        if (random.chance(0.5)) for (let at = 0; at < 8; at++) leader.put('probe', 'ok');
        if (random.chance(0.5)) {
          for (const id of ids) {
            if (random.chance(0.5) && cluster.isUp(id)) {
              cluster.kill(id, 'killed');
              cluster.start(id);
              lives++;
            }
          }
        }
        const isWhole = async (): Promise<boolean> => {
          await until(() => isEqual());
          for (const at of cluster.nodes()) {
            if (pairsOf(await recordsOf(at, until)).join() !== contentOf(leader).join()) return false;
          }
          return true;
        };
        for (let look = 0; !(await isWhole()); look++) {
          if (look > 100) throw new Error(`seed ${seed}, round ${round}: another content for good`);
          const [{ server }] = cluster.nodes() as [ReturnType<Cluster['nodes']>[number]];
          const nextMs = server.monotonicMs() + 500;
          await until(() => server.monotonicMs() >= nextMs);
        }
      }
      expect(lives).toBeGreaterThan(0);
      heal();
    }
  });
});
