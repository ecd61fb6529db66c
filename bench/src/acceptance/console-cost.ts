import { readdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually } from '@coxswain/testing';
import { type ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import { type AcceptanceCheck, below } from './check.js';

const TABLE_COUNT = 1_000;
const SECONDS = 60;
const SETTLE_MS = 15_000;
const CREATE_TIMEOUT_MS = 60_000;
const CALL_TIMEOUT_MS = 5_000;
const CREATED_AT_ONCE = 4;
const CPU_PERCENT_MAX = 3;
const SHOWN_SECONDS_MAX = 2;
const WEIGHT_KILOBYTES_MAX = 300;
const webDirectory = fileURLToPath(new URL('../../../../packages/console/dist/web/', import.meta.url));

/** What a page of the console reads from a node. */
class OpenConsole {
  readonly #aborter = new AbortController();
  /** Tables by the member that leads them, by the last message. */
  readonly leaders = new Map<string, number>();
  bytes = 0;
  #failure: unknown;

  constructor(restUrl: string) {
    this.#read(restUrl).catch((error: unknown) => {
      if (!this.#aborter.signal.aborted) this.#failure = error;
    });
  }

  /** Throws what ended the stream, if anything did. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {
    this.#aborter.abort();
  }

  async #read(restUrl: string): Promise<void> {
    const response = await fetch(`${restUrl}/api/v1/live`, { signal: this.#aborter.signal });
    if (!response.ok || response.body === null)
      throw new Error(`the console answers with ${response.status}`);
    let pending = '';
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      this.bytes += text.length;
      const messages = (pending + text).split('\n\n');
      pending = messages.pop()!;
      for (const message of messages) this.#take(message);
    }
    throw new Error('the console has ended the stream');
  }

  #take(message: string): void {
    const [, data] = /^event: state\ndata: (.*)$/s.exec(message) ?? [];
    if (data === undefined) return;
    const { tables } = JSON.parse(data) as { tables?: { changed: { name: string; leader: number }[] } };
    for (const { name, leader } of tables?.changed ?? []) this.leaders.set(name, leader);
  }
}

/**
 * Measures what a page of the console that is open costs a node with many tables, how soon it shows that the leader of all
 * of them was killed, and what the page weighs.
 */
export const consoleCost: AcceptanceCheck = {
  name: 'console-cost',
  async run({ tableCount = TABLE_COUNT, seconds = SECONDS }) {
    const cluster = await ProcessCluster.start(3);
    try {
      const { client } = cluster.nodes[0]!;
      // The cluster comes with one table of its own.
      const rest = Array.from({ length: tableCount - 1 }, (_, at) => `table-${at + 1}`).values();
      const create = async (): Promise<void> => {
        for (const name of rest) await client.createTable(name, CREATE_TIMEOUT_MS);
      };
      await Promise.all(Array.from({ length: CREATED_AT_ONCE }, create));
      await sleep(SETTLE_MS);
      const leader = await cluster.leader();
      const watched = cluster.others(leader)[0]!;
      const without = await cpuPercent(watched, seconds);
      const console = new OpenConsole(watched.process.restUrl);
      await eventually('every table is on the page', () => console.leaders.size === tableCount);
      const openedBytes = console.bytes;
      const open = await cpuPercent(watched, seconds);
      console.check();
      const kilobytesPerSecond = (console.bytes - openedBytes) / seconds / 1000;
      const shownSeconds = await untilShown(console, watched, leader);
      console.close();
      const tables = `${tableCount} tables`;
      const cost = `CPU that a page of the console costs a node with ${tables} (${without.toFixed(2)} % without, ${open.toFixed(2)} % with, ${kilobytesPerSecond.toFixed(1)} kB/s)`;
      return [
        below(cost, CPU_PERCENT_MAX, open - without, '% of a core'),
        below(
          `until the page shows other leaders of ${tables}, after the node knows all of them`,
          SHOWN_SECONDS_MAX,
          shownSeconds,
          's',
        ),
        below("the console's files, uncompressed", WEIGHT_KILOBYTES_MAX, weightBytes() / 1000, 'kB'),
      ];
    } finally {
      await cluster.dispose();
    }
  },
};

/** The share of a core that the node takes in so many seconds, in percent. */
async function cpuPercent({ process }: ClusterNode, seconds: number): Promise<number> {
  const before = process.usage().cpuMs;
  await sleep(seconds * 1000);
  return ((process.usage().cpuMs - before) / (seconds * 1000)) * 100;
}

/** Kills the leader, and gives the seconds from when the watched node knows other leaders of all tables until the page does. */
async function untilShown(console: OpenConsole, watched: ClusterNode, leader: ClusterNode): Promise<number> {
  const killed = leader.process.nodeId;
  const isOther = (id: number): boolean => id !== 0 && id !== killed;
  await leader.process.kill();
  let shownMs: number | undefined;
  const look = (async () => {
    await eventually('the page shows every new leader', () => [...console.leaders.values()].every(isOther));
    shownMs = performance.now();
  })();
  let knownMs = 0;
  await eventually('the node knows every new leader', async () => {
    const { tables } = await watched.client.status(CALL_TIMEOUT_MS);
    knownMs = performance.now();
    return [...tables.values()].every((table) => isOther(Number(table.leader)));
  });
  await look;
  return Math.max(0, shownMs! - knownMs) / 1000;
}

/** The bytes of all files that a browser loads. */
function weightBytes(): number {
  return readdirSync(webDirectory).reduce((sum, name) => sum + statSync(webDirectory + name).size, 0);
}
