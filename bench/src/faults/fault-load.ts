import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@coxswain/testing';
import type { History } from './history.js';
import { UnexpectedAnswer } from './node-client.js';
import type { ClusterNode } from './process-cluster.js';

const CALL_TIMEOUT_MS = 2_000;
/** Between a call that failed and the next one, so that a dead node is not asked in a busy loop. */
const PAUSE_AFTER_FAILURE_MS = 20;
const PUT_SHARE = 0.5;
const SERIALIZABLE_SHARE = 0.1;

/** Who writes what, and how fast. */
export interface FaultLoadOptions {
  readonly clientCount: number;
  readonly keyCount: number;
  /** What the keys begin with. */
  readonly keyPrefix: string;
  /** How long a client rests after each answer. */
  readonly restMs: number;
  /** How long it rests while nodes start, which want the processors too. */
  readonly restWhileStartingMs: number;
}

/**
 * Clients that write and read a few keys through all nodes, each one call at a time, and report every answer
 * to a history. A client whose call failed goes on with the next node.
 */
export class FaultLoad {
  readonly #nodes: readonly ClusterNode[];
  readonly #history: History;
  readonly #clients: Promise<void>[];
  #writeCount = 0;
  #isStarting = false;
  #isStopped = false;

  constructor(nodes: readonly ClusterNode[], history: History, options: FaultLoadOptions) {
    this.#nodes = nodes;
    this.#history = history;
    this.#clients = Array.from({ length: options.clientCount }, (_, index) =>
      this.#runClient(index, options),
    );
  }

  /** Resolves when that many more writes were acknowledged. */
  async untilWritten(count: number): Promise<void> {
    const target = this.#history.acknowledgedCount + count;
    await eventually(
      `${count} more writes are acknowledged`,
      () => this.#history.violations.length > 0 || this.#history.acknowledgedCount >= target,
    );
    this.#history.assertHolds();
  }

  /** Has the clients rest longer until nodes that start are ready. */
  async whileStarting(ready: Promise<void>): Promise<void> {
    this.#isStarting = true;
    try {
      await ready;
    } finally {
      this.#isStarting = false;
    }
  }

  /** Lets the calls under way end. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  async #runClient(index: number, options: FaultLoadOptions): Promise<void> {
    const { keyCount, keyPrefix } = options;
    let turn = index;
    while (!this.#isStopped) {
      const node = this.#nodes[turn % this.#nodes.length]!;
      const key = `${keyPrefix}${Math.floor(Math.random() * keyCount)}`;
      let isAnswered = false;
      try {
        if (Math.random() < PUT_SHARE) isAnswered = await this.#put(node, key);
        else isAnswered = await this.#get(node, key, Math.random() >= SERIALIZABLE_SHARE);
      } catch (error) {
        if (!(error instanceof UnexpectedAnswer)) throw error;
        this.#history.unexpected(error);
      }
      if (!isAnswered) {
        turn++;
        await sleep(PAUSE_AFTER_FAILURE_MS);
        continue;
      }
      const restMs = this.#isStarting ? options.restWhileStartingMs : options.restMs;
      if (restMs > 0) await sleep(restMs);
    }
  }

  async #put(node: ClusterNode, key: string): Promise<boolean> {
    const value = `${key}=${++this.#writeCount}`;
    const operation = this.#history.startWrite(key);
    const outcome = await node.client.put(key, value, CALL_TIMEOUT_MS);
    if (outcome.kind === 'acknowledged') this.#history.writeAcknowledged(operation, value, outcome.revision);
    if (outcome.kind === 'refused') this.#history.writeRefused(operation);
    return outcome.kind === 'acknowledged';
  }

  async #get(node: ClusterNode, key: string, linearizable: boolean): Promise<boolean> {
    const operation = this.#history.startRead(key);
    const outcome = await node.client.get(key, { linearizable, timeoutMs: CALL_TIMEOUT_MS });
    if (outcome.kind === 'failed') return false;
    if (linearizable) this.#history.readAnswered(operation, outcome.pair);
    else this.#history.serializableReadAnswered(key, outcome.pair);
    return true;
  }
}
