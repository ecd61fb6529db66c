import {
  DataDirectoryError,
  type Environment,
  Node,
  type NodeOptions,
  type Replica,
  WOLF_SHARD,
} from '@coxswain/node';
import { EntryType, type NodeId } from '@coxswain/raft';
import { EventKind, type EventLoop } from './event-loop.js';
import { type GroupInspection, Inspections } from './inspection.js';
import type { Invariants } from './invariants.js';
import type { DiskCopy, Machine } from './machine.js';
import { SimulatedProcess } from './process.js';
import type { RangeDeletions } from './range-deletions.js';
import { Stamps } from './stamps.js';
import { Violation } from './violation.js';
import type { Server } from './workload/options.js';

const RESTART_DELAY_US = 1_000_000;

/** The way in which a process ends. */
export type Death = 'killed' | 'powerLost' | 'stopped';

/** One machine and the node's life that runs on it, if any. */
class Host {
  process: SimulatedProcess | undefined;
  startedUs = 0;
  node: Node | undefined;
  isServing = false;
  /** Code that runs beside the node. */
  companion: { stop(): Promise<void> } | undefined;
  /** True while the node is ending in order. */
  isStopping = false;
  /** The newest state of the machine's disks, while it holds an earlier one; it is put back in the end. */
  newest: DiskCopy | undefined;
  /**
   * True until the member was seen to vote: it may lack entries that it had acknowledged over wolf.raft, or has
   * acknowledged nothing.
   */
  isIncomplete = true;
  constructor(
    readonly machine: Machine,
    /** The host's name, unique among the clusters of a run. */
    readonly name: string,
  ) {}
}

/** A copy of a node's disks, with the node's start number and position at that time. */
export interface NodeCopy {
  readonly disks: DiskCopy;
  readonly startNumber: number;
  readonly position: number;
}

export interface ClusterOptions {
  readonly nodeOptions: (node: NodeId) => NodeOptions;
  /** The only machine on which a loss of power may damage the state of a store, so that good copies survive. */
  readonly fragileMachine: NodeId | undefined;
  readonly onDeath: (process: SimulatedProcess) => void;
  /** True when each node is a cluster of its own, and they share nothing but a table over wolf.raft. */
  readonly areApart?: boolean;
  /** The ids of this cluster's processes are above this number, so that they are unique among the clusters of a run. */
  readonly firstLife?: number;
  /** The prefix of the nodes' names in the trace. */
  readonly label?: string;
  readonly deletions?: RangeDeletions;
  /** Called when a node has started; the returned companion is stopped before the node ends in order. */
  readonly onServing?: (
    id: NodeId,
    node: Node,
    process: SimulatedProcess,
    environment: Environment,
  ) => { stop(): Promise<void> };
}

/** The machines, and the nodes that live and die on them. */
export class Cluster {
  readonly #hosts = new Map<NodeId, Host>();
  readonly #inspections = new Inspections();
  readonly #stamps: Stamps;
  #lives = 0;
  /** The number of nodes that were refused because their disks were rolled back (T4). */
  refusedRollbacks = 0;
  /**
   * The number of disks that were emptied, of members of a wolf.raft group, and of losses of power that took data which
   * tables should keep (D4).
   */
  wipedDisks = 0;
  damagedDisks = 0;

  readonly #loop: EventLoop;
  readonly #invariants: Invariants;
  readonly #options: ClusterOptions;

  constructor(
    loop: EventLoop,
    machines: readonly Machine[],
    invariants: Invariants,
    options: ClusterOptions,
  ) {
    this.#loop = loop;
    this.#invariants = invariants;
    this.#options = options;
    this.#lives = options.firstLife ?? 0;
    const { label = '' } = options;
    for (const machine of machines)
      this.#hosts.set(machine.node, new Host(machine, `${label}${machine.node}`));
    this.#stamps = new Stamps(new Map(machines.map(({ node, clock }) => [node, clock])));
    invariants.onEntry = (leader, group, { type, data }) => {
      // The time stamp in the envelope.
      if (type !== EntryType.Empty) this.#stamps.appended(leader, group, data.readUIntLE(2, 6));
    };
  }

  get ids(): NodeId[] {
    return [...this.#hosts.keys()];
  }

  machine(id: NodeId): Machine {
    return this.#host(id).machine;
  }

  isUp(id: NodeId): boolean {
    return this.#host(id).process !== undefined;
  }

  isPaused(id: NodeId): boolean {
    return this.#host(id).process?.isPaused ?? false;
  }

  /** Returns the nodes that have opened. */
  nodes(): Array<{ id: NodeId; node: Node; server: Server }> {
    const result = [];
    for (const [id, { process, node, machine, isServing }] of this.#hosts) {
      if (process === undefined || node === undefined || !isServing) continue;
      const server: Server = { process, api: node, monotonicMs: () => machine.clock.monotonicMs };
      result.push({ id, node, server });
    }
    return result;
  }

  servers(): Server[] {
    return this.nodes().map(({ server }) => server);
  }

  /** Checks the invariants on the node that has just run. */
  observe(): void {
    const owner = this.#loop.lastOwner;
    if (owner === undefined) return;
    for (const [id, host] of this.#hosts) {
      const { process, node, startedUs, newest } = host;
      if (process !== owner || node === undefined) continue;
      const { groups, isClockCompared, isAdmitted } = node.inspect();
      const replicas = this.#shared(groups);
      this.#options.deletions?.observe(host.name, replicas);
      if (this.#options.areApart && host.isIncomplete) host.isIncomplete = !replicas.some(hasCaughtUp);
      this.#stamps.observe(id, { life: process, isCompared: isClockCompared, startedUs });
      if (newest === undefined) this.#invariants.observe(id, this.#inspections.of(replicas));
      else if (isAdmitted) {
        throw new Violation('a node that was rolled back takes no part', `node ${id} was admitted`);
      }
    }
  }

  /** Returns the groups of a node that other nodes have, too. */
  #shared(replicas: Iterable<Replica>): Replica[] {
    const groups = [...replicas];
    return this.#options.areApart ? groups.filter(({ group }) => group === WOLF_SHARD) : groups;
  }

  /**
   * Kills the node and empties its disks. Returns false, without doing anything, when another member of the wolf.raft
   * group has not caught up since its own loss: fewer than a quorum would then remember acknowledged entries.
   */
  wipe(id: NodeId): boolean {
    const others = [...this.#hosts].filter(([other]) => other !== id);
    if (!this.#options.areApart || others.some(([, { isIncomplete }]) => isIncomplete)) return false;
    const host = this.#host(id);
    this.kill(id, 'killed');
    this.#say(`wipe node ${id}`);
    host.machine.wipe();
    host.isIncomplete = true;
    this.#invariants.diskLost(id);
    this.wipedDisks += 1;
    return true;
  }

  /** Returns a copy of the node's disks; undefined when the node is not in service. */
  copy(id: NodeId): NodeCopy | undefined {
    const { node, machine, isServing, newest } = this.#host(id);
    if (node === undefined || !isServing || newest !== undefined) return undefined;
    const { isAdmitted, startNumber, position } = node.inspect();
    return isAdmitted ? { disks: machine.copyDisks(), startNumber, position } : undefined;
  }

  /**
   * Puts the copy back and starts the node, which must be refused (T4); then its newest disks come back. Returns false,
   * without doing anything, when too few members have durably seen more of the node than the copy holds, so that a
   * quorum could form without that knowledge.
   */
  rollBack(id: NodeId, { disks, startNumber, position }: NodeCopy): boolean {
    const others = this.ids.filter((other) => other !== id);
    if ([...this.#hosts.values()].some(({ newest }) => newest !== undefined)) return false;
    const knowers = others.filter((other) => {
      const known = this.#host(other).machine.startOf(id);
      return (
        known !== undefined &&
        (known.number > startNumber || (known.number === startNumber && known.position > position))
      );
    });
    const neededForQuorum = Math.floor(this.ids.length / 2);
    if (knowers.length < others.length - neededForQuorum + 1) return false;
    const host = this.#host(id);
    this.kill(id, 'killed');
    this.#say(`roll back node ${id}`);
    host.newest = host.machine.copyDisks();
    host.machine.putBack(disks);
    this.start(id);
    return true;
  }

  #refuse(id: NodeId, newest: DiskCopy): void {
    this.refusedRollbacks += 1;
    this.kill(id, 'killed');
    const host = this.#host(id);
    host.machine.putBack(newest);
    host.newest = undefined;
    this.#loop.schedule(RESTART_DELAY_US, EventKind.Fault, undefined, () => this.start(id));
  }

  /** Returns the groups of a node in the form for the checkers. */
  inspect(node: Node): readonly GroupInspection[] {
    return this.#inspections.of(this.#shared(node.inspect().groups));
  }

  /** Describes the state of each group on each node, one line each. */
  describe(): string {
    const lines: string[] = [];
    for (const [id, { process, node }] of this.#hosts) {
      if (process === undefined || node === undefined) {
        lines.push(`node ${id} is down`);
        continue;
      }
      const { isReady, conditions } = node.reports.readiness();
      lines.push(`node ${id}: ready ${isReady} ${JSON.stringify(conditions)}`);
      for (const { group, raft, log, hasTable, isSuspended, isQuiet } of node.inspect().groups) {
        lines.push(
          `  ${group}: ${raft.role} of term ${raft.term}, leader ${raft.leader}, log ${log.firstIndex()} to ` +
            `${raft.lastIndex}, committed ${raft.commitIndex}, applied ${raft.appliedIndex}` +
            `${hasTable ? '' : ', no table'}${isSuspended ? ', suspended' : ''}${isQuiet ? ', quiet' : ''}`,
        );
      }
    }
    return lines.join('\n');
  }

  start(id: NodeId): void {
    const host = this.#host(id);
    if (host.process !== undefined) return;
    const process = new SimulatedProcess(this.#loop, ++this.#lives);
    host.process = process;
    host.startedUs = this.#loop.nowUs;
    host.isStopping = false;
    this.#say(`start node ${id} as process ${process.id}`);
    const environment = host.machine.environment(process, (error) => this.#nodeEnded(id, process, error));
    const run = async () => {
      const node = await Node.open(this.#options.nodeOptions(id), environment);
      host.node = node;
      host.machine.serveWolf(process, node.wolf);
      await node.start();
      host.companion = this.#options.onServing?.(id, node, process, environment);
      host.isServing = true;
    };
    // The first action of a process comes after its creation, in an event of its own.
    this.#loop.schedule(0, EventKind.Fault, process, () => {
      run().catch((error: unknown) => this.#nodeEnded(id, process, error));
    });
  }

  /** Ends the process at once. */
  kill(id: NodeId, death: Death): void {
    const host = this.#host(id);
    const { process, machine } = host;
    if (process === undefined) return;
    this.#say(`${death} node ${id}`);
    process.kill();
    host.process = undefined;
    host.node = undefined;
    host.companion = undefined;
    host.isServing = false;
    this.#invariants.nodeDied(id);
    this.#options.deletions?.nodeDied(host.name);
    if (death === 'powerLost') {
      this.#losePower(id, host);
    } else {
      machine.processDied();
    }
    this.#options.onDeath(process);
  }

  #losePower(id: NodeId, host: Host): void {
    const { fragileMachine, areApart } = this.#options;
    const others = [...this.#hosts].filter(([other]) => other !== id);
    // When members of a wolf.raft group may be wiped, only one disk at a time goes bad, and only in data that others
    // have, too.
    const isSafe = areApart && others.some(([, { isIncomplete }]) => isIncomplete);
    host.machine.losePower();
    if (id !== fragileMachine || isSafe) return;
    if (areApart) host.isIncomplete = true;
    this.damagedDisks += 1;
    host.machine.stores.loseBatches((store) => !areApart || isOfWolf(store));
  }

  /** Stops the node in order, as SIGTERM does. */
  stop(id: NodeId): void {
    const host = this.#host(id);
    const { node, process } = host;
    if (node === undefined || process === undefined || !host.isServing || host.isStopping) return;
    host.isStopping = true;
    this.#say(`stop node ${id}`);
    const { companion } = host;
    const leave = async () => {
      await companion?.stop();
      await node.stop();
    };
    this.#loop.schedule(0, EventKind.Fault, process, () => {
      leave().then(
        () => this.#loop.schedule(0, EventKind.Fault, process, () => this.kill(id, 'stopped')),
        (error: unknown) => this.#nodeEnded(id, process, error),
      );
    });
  }

  /** Makes the node hand each group that it leads over to `target`, which may be down, cut off or the node itself. */
  handOver(id: NodeId, target: NodeId): void {
    const { node, process } = this.#host(id);
    if (node === undefined || process === undefined) return;
    this.#say(`node ${id} hands over to node ${target}`);
    this.#loop.schedule(0, EventKind.Fault, process, () => {
      for (const { group } of node.inspect().groups) node.transferLeadership(group, target);
    });
  }

  pause(id: NodeId): void {
    this.#say(`pause node ${id}`);
    this.#host(id).process?.pause();
  }

  resume(id: NodeId): void {
    this.#say(`resume node ${id}`);
    this.#host(id).process?.resume();
  }

  /** Writes a line with the time to the trace. */
  #say(line: string): void {
    const { label = '' } = this.#options;
    this.#loop.trace.line(`${(this.#loop.nowUs / 1e6).toFixed(6)} ${label}${line}`);
  }

  /**
   * Handles a node that gave up by itself. That is right after a failed fsync (D6), and at its start when there is no
   * room to begin; otherwise it is a violation. The node is started again a little later.
   */
  #nodeEnded(id: NodeId, process: SimulatedProcess, error: unknown): void {
    if (!process.isAlive) return;
    this.#loop.schedule(0, EventKind.Fault, process, () => {
      if (error === undefined) return;
      const { newest } = this.#host(id);
      if (newest !== undefined && error instanceof DataDirectoryError && error.code === 'putBack') {
        this.#say(`node ${id} ended: ${error.message}`);
        this.#refuse(id, newest);
        return;
      }
      if (!hasCode(error, 'EIO') && (this.#host(id).isServing || !hasCode(error, 'ENOSPC'))) {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        throw new Violation('a node runs until it is stopped', `node ${id} ended: ${text}`);
      }
      this.#say(`node ${id} ended: ${String(error)}`);
      // After a failed fsync the page cache lies; only a reboot makes it and the disk agree.
      this.kill(id, 'powerLost');
      this.#loop.schedule(RESTART_DELAY_US, EventKind.Fault, undefined, () => this.start(id));
    });
  }

  #host(id: NodeId): Host {
    const host = this.#hosts.get(id);
    if (host === undefined) throw new RangeError(`no machine ${id}`);
    return host;
  }
}

/** Whether the member has everything that it acknowledged over wolf.raft, or may have helped to commit. */
function hasCaughtUp({ hasTable, isSuspended, raft }: Replica): boolean {
  return hasTable && !isSuspended && raft.membership.voters.includes(raft.id);
}

const isOfWolf = (store: string): boolean => store.startsWith(`shard-${WOLF_SHARD}`);

/** Whether this is the error of a system call with that code, or was caused by one. */
function hasCode(error: unknown, code: string): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ((cause as { code?: unknown }).code === code) return true;
  }
  return false;
}
