import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@coxswain/testing';
import type { History } from './history.js';
import { UnexpectedAnswer } from './node-client.js';
import type { ClusterNode } from './process-cluster.js';

const CALL_TIMEOUT_MS = 2_000;
/** The pause between a failed call and the next one, so that a dead node is not asked in a busy loop. */
const PAUSE_AFTER_FAILURE_MS = 20;
const PUT_SHARE = 0.5;
const SERIALIZABLE_SHARE = 0.1;

/** The clients of a load, their keys and their pace. */
export interface FaultLoadOptions {
  readonly clientCount: number;
  readonly keyCount: number;
  /** The prefix of the keys. */
  readonly keyPrefix: string;
  /** Milliseconds that a client rests after each answer. */
  readonly restMs: number;
  /** Milliseconds that it rests while nodes start, which need the processors, too. */
  readonly restWhileStartingMs: number;
}

/**
 * Clients that write and read a few keys through all nodes, each with one call at a time, and report every answer to a
 * history. A client whose call failed continues with the next node.
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

  /** Resolves when `count` more writes were acknowledged. */
  async untilWritten(count: number): Promise<void> {
    const target = this.#history.acknowledgedCount + count;
    await eventually(
      `${count} more writes are acknowledged`,
      () => this.#history.violations.length > 0 || this.#history.acknowledgedCount >= target,
    );
    this.#history.assertHolds();
  }

  /** Makes the clients rest longer until nodes that start are ready. */
  async whileStarting(ready: Promise<void>): Promise<void> {
    this.#isStarting = true;
    try {
      await ready;
    } finally {
      this.#isStarting = false;
    }
  }

  /** Begins no more calls, and resolves when those under way have ended. */
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
