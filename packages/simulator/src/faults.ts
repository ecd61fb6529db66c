import type { NodeId } from '@coxswain/raft';
import type { Cluster, NodeCopy } from './cluster.js';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedNetwork } from './network.js';
import type { SeededRandom } from './random.js';

const ROLLBACK_ATTEMPTS = 20;
const ROLLBACK_RETRY_US = 200_000;

export type FaultKind =
  | 'kill'
  | 'losePower'
  | 'stop'
  | 'killAll'
  | 'losePowerOfAll'
  | 'pause'
  | 'isolate'
  | 'split'
  | 'oneWay'
  | 'bridge'
  | 'links'
  | 'clog'
  | 'reset'
  | 'freeze'
  | 'clockJump'
  | 'diskFull'
  | 'syncError'
  | 'rollBack'
  | 'handOver'
  | 'wipe';

export interface FaultOptions {
  /** Relative frequencies of the kinds of faults. */
  readonly weights: Readonly<Record<FaultKind, number>>;
  /** The mean time between the beginnings of two faults, in microseconds. */
  readonly intervalMeanUs: number;
  /** The mean time that a fault lasts, in microseconds. */
  readonly durationMeanUs: number;
}

/** Injects faults until `heal` is called, which repairs everything that can be repaired. */
export class Faults {
  #isOver = false;
  /** The number of faults so far. */
  count = 0;

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  readonly #options: FaultOptions;
  readonly #cluster: Cluster;
  readonly #network: SimulatedNetwork;

  constructor(
    loop: EventLoop,
    random: SeededRandom,
    options: FaultOptions,
    cluster: Cluster,
    network: SimulatedNetwork,
  ) {
    this.#loop = loop;
    this.#random = random;
    this.#options = options;
    this.#cluster = cluster;
    this.#network = network;
  }

  start(): void {
    if (Object.values(this.#options.weights).some((weight) => weight > 0)) this.#wait();
  }

  /** Ends all faults and begins no more: the network works, disks have room, and every node runs or starts. */
  heal(): void {
    this.#isOver = true;
    this.#network.heal();
    this.#network.becomeReliable();
    for (const id of this.#cluster.ids) {
      this.#cluster.machine(id).walDisk.heal();
      if (this.#cluster.isPaused(id)) this.#cluster.resume(id);
      this.#cluster.start(id);
    }
  }

  #wait(): void {
    this.#after(this.#random.exponential(this.#options.intervalMeanUs), () => {
      this.#inject(this.#random.weighted(this.#options.weights));
      this.#wait();
    });
  }

  #inject(kind: FaultKind): void {
    const cluster = this.#cluster;
    const network = this.#network;
    const random = this.#random;
    const { ids } = cluster;
    const victim = random.pick(ids);
    const durationUs = random.exponential(this.#options.durationMeanUs);
    this.count += 1;
    this.#loop.trace.line(
      `${(this.#loop.nowUs / 1e6).toFixed(6)} fault ${kind}, node ${victim}, ${Math.round(durationUs / 1000)} ms`,
    );
    switch (kind) {
      case 'kill':
      case 'losePower':
        this.#kill(victim, kind === 'kill' ? 'killed' : 'powerLost', durationUs);
        return;
      case 'killAll':
      case 'losePowerOfAll':
        for (const id of random.shuffled(ids)) {
          this.#kill(id, kind === 'killAll' ? 'killed' : 'powerLost', durationUs * random.next());
        }
        return;
      case 'stop':
        cluster.stop(victim);
        this.#after(durationUs, () => cluster.start(victim));
        return;
      case 'pause':
        if (!cluster.isUp(victim) || cluster.isPaused(victim)) return;
        cluster.pause(victim);
        this.#after(durationUs, () => {
          if (cluster.isPaused(victim)) cluster.resume(victim);
        });
        return;
      case 'isolate':
        this.#block(durationUs, (from, to) => from === victim || to === victim);
        return;
      case 'oneWay': {
        const hearsNothing = random.chance(0.5);
        this.#block(durationUs, (from, to) => (hearsNothing ? to : from) === victim);
        return;
      }
      case 'split': {
        const side = new Set(ids.filter(() => random.chance(0.5)));
        this.#block(durationUs, (from, to) => side.has(from) !== side.has(to));
        return;
      }
      case 'bridge': {
        // Two sides that both see the victim but not each other.
        const side = new Set(ids.filter(() => random.chance(0.5)));
        this.#block(
          durationUs,
          (from, to) => from !== victim && to !== victim && side.has(from) !== side.has(to),
        );
        return;
      }
      case 'links':
        this.#block(durationUs, () => random.chance(0.3));
        return;
      case 'clog':
        // Swizzle (FoundationDB): links of some nodes clog one after the other and clear in another order.
        for (const id of ids.filter(() => random.chance(0.5))) {
          this.#after(random.next() * durationUs, () => {
            for (const other of ids) {
              if (other === id) continue;
              network.clog(id, other, random.next() * durationUs);
              network.clog(other, id, random.next() * durationUs);
            }
          });
        }
        return;
      case 'reset':
        for (const other of ids) if (other !== victim) network.reset(victim, other);
        return;
      case 'freeze':
        for (const other of ids) {
          if (other === victim) continue;
          const direction = random.pick(['there', 'back', 'both'] as const);
          if (direction !== 'back') network.freeze(victim, other);
          if (direction !== 'there') network.freeze(other, victim);
        }
        return;
      case 'clockJump': {
        const { clock } = cluster.machine(victim);
        const byMs = random.between(-1, 1) * random.pick([10, 1_000, 1_000_000]);
        clock.jump(byMs);
        if (random.chance(0.5)) this.#after(durationUs, () => clock.jump(-byMs));
        return;
      }
      case 'diskFull':
        cluster.machine(victim).walDisk.isFull = true;
        this.#after(durationUs, () => {
          cluster.machine(victim).walDisk.isFull = false;
        });
        return;
      case 'syncError':
        if (!cluster.isUp(victim)) return;
        cluster.machine(victim).walDisk.failNextSync();
        return;
      case 'handOver':
        for (const id of ids) cluster.handOver(id, victim);
        return;
      case 'wipe':
        if (cluster.wipe(victim)) this.#after(durationUs, () => cluster.start(victim));
        return;
      case 'rollBack': {
        const copy = cluster.copy(victim);
        if (copy !== undefined)
          this.#after(durationUs, () => this.#rollBack(victim, copy, ROLLBACK_ATTEMPTS));
        return;
      }
    }
  }

  /**
   * Rolls a node back once enough members have seen more of it: before that, it lost nothing that they could know of.
   */
  #rollBack(id: NodeId, copy: NodeCopy, attempts: number): void {
    if (this.#cluster.rollBack(id, copy) || attempts === 0) return;
    this.#after(ROLLBACK_RETRY_US, () => this.#rollBack(id, copy, attempts - 1));
  }

  #kill(id: NodeId, death: 'killed' | 'powerLost', downUs: number): void {
    this.#cluster.kill(id, death);
    this.#after(downUs, () => this.#cluster.start(id));
  }

  #block(durationUs: number, isBlocked: (from: NodeId, to: NodeId) => boolean): void {
    const network = this.#network;
    const blocked: [NodeId, NodeId][] = [];
    for (const from of this.#cluster.ids) {
      for (const to of this.#cluster.ids) if (from !== to && isBlocked(from, to)) blocked.push([from, to]);
    }
    for (const [from, to] of blocked) network.block(from, to);
    this.#after(durationUs, () => {
      for (const [from, to] of blocked) network.unblock(from, to);
    });
  }

  #after(delayUs: number, act: () => void): void {
    this.#loop.schedule(delayUs, EventKind.Fault, undefined, () => {
      if (!this.#isOver) act();
    });
  }
}
