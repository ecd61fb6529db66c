import { ApiError, type MemberState, type NodeParts } from '@coxswain/node';
import { type Clock, type Log, pause } from '@coxswain/runtime';
import { agentEvents } from '../events.js';
import { missingOf } from './drain.js';
import type { Members } from './members.js';

/** Milliseconds for which a change of the meta group is attempted before the next attempt. */
const CHANGE_MS = 5_000;
const RETRY_MS = 200;
/** Milliseconds between two checks of whether the node is quiet, or followers have everything. */
const LOOK_MS = 100;
/** Milliseconds between two log lines about the follower that a closing node waits for. */
const LOG_INTERVAL_MS = 10_000;
/** Milliseconds within which the leader cluster must hear that a node of its follower cluster leaves. */
const FAREWELL_MS = 1_000;

/** The parts of the node that carrying out its state takes. */
export type StatefulNode = Pick<NodeParts, 'cluster' | 'logs' | 'members' | 'reports'>;

/** The parts of the process that carrying out a node's state takes. */
export interface NodeStatesOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly members: Members;
  /** Reports this node's state to the leader cluster. */
  readonly tellState: (deadlineMs: number) => Promise<void>;
  /** Stops the node; called once the node was closed. */
  readonly stop: () => void;
}

/**
 * Carries out the state that the meta group holds for this node (docs/operations-protocols.md §3). `pausing` becomes
 * `paused` when replication has come to rest. `closing` becomes `offline` when followers have everything that is here;
 * then the node stops. A node that was closed goes online again when it is started; one that was paused stays paused.
 */
export class NodeStates {
  readonly #node: StatefulNode;
  readonly #options: NodeStatesOptions;
  readonly #aborter = new AbortController();
  #nap = new AbortController();
  #setBegun = (): void => undefined;
  /**
   * Resolves when this node has cleared the state that its previous process left, or stops. A state that is set earlier
   * would be taken for the previous process's.
   */
  readonly begun: Promise<void> = new Promise((resolve) => {
    this.#setBegun = resolve;
  });
  #leaveNode: (() => void) | undefined;

  constructor(node: StatefulNode, options: NodeStatesOptions) {
    this.#node = node;
    this.#options = options;
  }

  /** Starts the work in the background. `fatal` gets the error of a broken invariant. */
  start(fatal: (error: unknown) => void): void {
    this.#leaveNode = this.#node.cluster.onChange(() => this.#nap.abort());
    this.#run().catch((error: unknown) => {
      if (!this.#isStopped) fatal(error);
    });
  }

  /** Stops the work. A change that has begun continues when the node is started again. */
  stop(): void {
    this.#leaveNode?.();
    this.#aborter.abort();
    this.#nap.abort();
    this.#setBegun();
  }

  get #state(): MemberState {
    return this.#node.members.state(this.#node.cluster.nodeId);
  }

  get #isStopped(): boolean {
    return this.#aborter.signal.aborted;
  }

  async #run(): Promise<void> {
    // The previous process was closed, or died while it was being closed.
    await this.#change({ from: ['closing', 'offline'], to: 'online' });
    this.#setBegun();
    while (!this.#isStopped) {
      const state = this.#state;
      if (state === 'pausing') {
        if (await this.#isQuiet()) await this.#change({ from: ['pausing'], to: 'paused' });
        else await pause(this.#options.clock, LOOK_MS, this.#aborter.signal);
      } else if (state === 'closing') {
        await this.#close();
        return;
      } else await this.#nextChange(state);
    }
  }

  /** Resolves when this node's state is no longer `state`, or when stopped. */
  async #nextChange(state: MemberState): Promise<void> {
    while (this.#state === state && !this.#isStopped) {
      await new Promise<void>((resolve) => {
        const { signal } = this.#nap;
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
      if (!this.#isStopped) this.#nap = new AbortController();
    }
  }

  /**
   * Changes this node's state, and repeats that until the meta group has accepted the change or the change no longer
   * applies.
   */
  async #change(change: { from: readonly MemberState[]; to: MemberState }): Promise<void> {
    const { clock } = this.#options;
    while (!this.#isStopped) {
      try {
        const call = { deadlineMs: clock.monotonicMs() + CHANGE_MS };
        // Checks first, so that nothing is proposed without need, since a full disk would refuse it.
        const state = (await this.#node.members.states(call)).get(this.#node.cluster.nodeId)!;
        if (!change.from.includes(state)) return;
        await this.#node.members.changeState(this.#node.cluster.nodeId, change, call);
        this.#options.log(agentEvents.memberStateChanged, { state: change.to });
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        await pause(clock, RETRY_MS, this.#aborter.signal);
      }
    }
  }

  /**
   * On a leader cluster: whether this node sends nothing. On a follower cluster: whether no reachable member takes
   * anything.
   */
  async #isQuiet(): Promise<boolean> {
    const { nodeId, role } = this.#node.cluster;
    const reports = await this.#options.members.ask({ table: undefined, endsWaiting: false });
    if (role === 'leader') return reports.get(nodeId)!.isQuiet;
    return [nodeId, ...this.#connected].every((id) => reports.get(id)?.isQuiet ?? false);
  }

  /** The ids of the other members that this node can reach. */
  get #connected(): number[] {
    const { peers } = this.#node.reports.status();
    return peers.filter(({ isConnected }) => isConnected).map(({ id }) => id);
  }

  async #close(): Promise<void> {
    const { log, clock, stop } = this.#options;
    log(agentEvents.nodeClosing);
    if (this.#node.cluster.role === 'leader') await this.#drain();
    if (this.#isStopped) return;
    await this.#change({ from: ['closing'], to: 'offline' });
    await this.#options.tellState(clock.monotonicMs() + FAREWELL_MS);
    if (!this.#isStopped) stop();
  }

  /**
   * Resolves when every follower cluster has applied everything that clients wrote through this node, or when stopped.
   */
  async #drain(): Promise<void> {
    const { clock, members } = this.#options;
    const { signal } = this.#aborter;
    // Writes that were accepted before the state became `closing`.
    while (this.#node.reports.metrics().proposals.pending > 0 && !signal.aborted)
      await pause(clock, LOOK_MS, signal);
    const targets = await this.#targets();
    let loggedMs = clock.monotonicMs();
    while (!signal.aborted) {
      const reports = await members.ask({ table: undefined, endsWaiting: true });
      const existing = new Set(this.#node.reports.status().tables.map(({ name }) => name));
      const wanted = new Map([...targets].filter(([name]) => existing.has(name)));
      const missing = missingOf(wanted, reports.values());
      // A silent member may be the only one that knows some follower.
      const silent = this.#connected.find((id) => !reports.has(id));
      if (missing === undefined && silent === undefined) return;
      if (clock.monotonicMs() - loggedMs >= LOG_INTERVAL_MS) {
        loggedMs = clock.monotonicMs();
        this.#options.log(agentEvents.closingWaits, {
          ...missing,
          silent,
        });
      }
      await pause(clock, LOOK_MS, signal);
    }
  }

  /** Returns the last index of each table, as a quorum has it. */
  async #targets(): Promise<ReadonlyMap<string, number>> {
    const { clock } = this.#options;
    const targets = new Map<string, number>();
    for (const { name } of this.#node.reports.status().tables) {
      while (!this.#isStopped) {
        try {
          const log = await this.#node.logs.open(name, { deadlineMs: clock.monotonicMs() + CHANGE_MS });
          targets.set(name, log.appliedIndex);
          break;
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          // The table was deleted meanwhile, so nobody needs its entries.
          if (error.code === 'tableNotFound') break;
          await pause(clock, RETRY_MS, this.#aborter.signal);
        }
      }
    }
    return targets;
  }
}
