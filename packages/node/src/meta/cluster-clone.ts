import type { NodeId } from '@coxswain/raft';
import type { Clock, Log, Random } from '@coxswain/runtime';
import type { Call } from '../api/call.js';
import { ApiError, errors } from '../api/errors.js';
import { nodeEvents } from '../events.js';
import type { Loader, UnfinishedClone } from './records.js';
import type { RegisteredClone } from './registry.js';

/**
 * The time for which the node that fills the cluster may be out of reach before the leader of the meta group declares
 * its clone failed.
 */
const FILLER_GONE_MS = 60_000;
/** The time limit of one attempt of the node to record the end of a clone. */
const END_MS = 5_000;
/** The interval at which a node looks whether every member knows that a clone has begun. */
const LOOK_MS = 20;

/** The parts of a node that ClusterClone uses. */
export interface ClusterCloneContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly self: Loader;
  /**
   * Gives the clone that the registry holds, as of the meta group's applied index here; undefined when it holds none.
   */
  readonly registered: () => RegisteredClone | undefined;
  /**
   * Whether this node has caught up with the meta group since its start. Before that its record of a clone may be out
   * of date.
   */
  readonly isFresh: () => boolean;
  /** Resolves when everything that was committed to the meta group by now is applied here. */
  readonly confirmRead: (deadlineMs: number) => Promise<void>;
  /**
   * Registers `clone`, or none when it is undefined, in the place of the registered one. Resolves to false when that
   * one has changed meanwhile.
   */
  readonly write: (clone: UnfinishedClone | undefined, deadlineMs: number) => Promise<boolean>;
  /**
   * Whether every other member that is within reach, or may still believe that it is, has applied the meta group up to
   * `metaIndex`.
   */
  readonly isKnownToAll: (metaIndex: number) => boolean;
  readonly leadsMeta: () => boolean;
  readonly isAlive: (peer: NodeId) => boolean;
}

/** A clone that this process has begun. */
export interface HeldClone {
  /** A random id that no other clone has. */
  readonly id: string;
  /**
   * Whether the clone is still this process's. False when it was forgotten, or was declared failed because this node
   * was out of reach for too long.
   */
  readonly isHeld: boolean;
  /**
   * Records durably that the clone succeeded, or with `error` why it failed. Resolves after one attempt; the node goes
   * on trying by itself.
   */
  end(error?: string): Promise<void>;
  /** Takes the clone back, because nothing of it has come yet. */
  withdraw(): Promise<void>;
}

/**
 * The clone of another cluster that fills this one, or began to and did not succeed (docs/operations-protocols.md §2).
 * A record of the meta group says that it has not succeeded, so every member knows it, whichever node fills the
 * cluster, and after every restart: a client that waits for SERVING must never get half a cluster. The record goes when
 * the clone succeeds, when the next one takes its place and succeeds, or when an operator forgets it.
 */
export class ClusterClone {
  readonly #context: ClusterCloneContext;
  /** The id of the clone with which this process fills the cluster. */
  #heldId: string | undefined;
  /** The id of a clone that this process gave up before anything had come, although its record may still be written. */
  #withdrawnId: string | undefined;
  /** How the clone of this process has ended, until that is recorded. */
  #ended: { readonly error: string | undefined } | undefined;
  /**
   * The id of the last clone whose failure is in the log of this process, or will be: the process that begins a clone
   * logs its end.
   */
  #toldId: string | undefined;
  /** Since when the node that fills the cluster has been out of reach. */
  #gone: { readonly id: string; readonly sinceMs: number } | undefined;

  constructor(context: ClusterCloneContext) {
    this.#context = context;
  }

  /**
   * The clone that has not succeeded, as far as this node knows; undefined when none was begun, or the last one
   * succeeded or was forgotten.
   */
  get unfinished(): UnfinishedClone | undefined {
    return this.#context.registered();
  }

  /** Whether a node that is within reach fills the cluster now. */
  get isRunning(): boolean {
    const clone = this.unfinished;
    if (clone === undefined || clone.error !== null) return false;
    const { node } = clone.filler;
    return node === this.#context.self.node ? clone.id === this.#heldId : this.#context.isAlive(node);
  }

  /**
   * Throws `cloning` or `cloneFailed` until a clone has succeeded or was forgotten. A clone itself passes its
   * `cloneId`, and may write as long as it is the registered one and has not failed. So half of the tables are not
   * taken for all of them, and no write to them is lost when the rest comes (T2).
   */
  checkWrite(cloneId?: string): void {
    const clone = this.unfinished;
    if (clone === undefined && cloneId === undefined) return;
    if (clone?.error === null && clone.id !== cloneId) throw errors.cloning();
    if (clone === undefined || clone.error !== null) throw errors.cloneFailed();
  }

  /**
   * Throws `cloning` while a clone goes on. After its end the tables that have come may be deleted, so that another
   * clone can begin.
   */
  checkDelete(): void {
    // This holds even if the node that fills the cluster cannot be reached from here.
    if (this.unfinished?.error === null) throw errors.cloning();
  }

  /**
   * Records that a clone of `donor` fills the cluster, in the place of one that did not succeed. Resolves when every
   * member that answers clients knows it: from then on no health probe of any of them says SERVING. When it rejects, no
   * record is left. Errors: anotherRequest, timeout, and those of a proposal.
   */
  async begin(donor: string, { deadlineMs }: Call): Promise<HeldClone> {
    const { self: filler, random, confirmRead, write } = this.#context;
    const id = random.bytes(8).toString('hex');
    this.#toldId = id;
    try {
      do {
        await confirmRead(deadlineMs);
        if (this.#heldId !== undefined || this.isRunning) throw errors.anotherRequest();
      } while (!(await this.#holding(id, () => write({ id, filler, donor, error: null }, deadlineMs))));
      await this.#knownToAll(id, deadlineMs);
    } catch (error) {
      await this.#withdraw(id);
      throw error;
    }
    const clone = this;
    return {
      id,
      get isHeld() {
        const { id: registered, error } = clone.unfinished ?? {};
        return registered === id && error === null;
      },
      end: (error) => (this.#heldId === id ? this.#end(error) : Promise.resolve()),
      withdraw: () => this.#withdraw(id),
    };
  }

  /** Removes the record of a clone of which nothing has come, so that nobody needs to be warned of it. */
  async #withdraw(id: string): Promise<void> {
    if (this.#heldId !== id) return;
    this.#withdrawnId = id;
    await this.#end(undefined);
  }

  /**
   * Holds the clone `id` while `attempt` writes it. The attempt may take effect although it rejects; then the clone is
   * this process's all the same.
   */
  async #holding(id: string, attempt: () => Promise<boolean>): Promise<boolean> {
    this.#heldId = id;
    const isWritten = await attempt();
    if (!isWritten) this.#heldId = undefined;
    return isWritten;
  }

  async #knownToAll(id: string, deadlineMs: number): Promise<void> {
    const { clock, registered, isKnownToAll } = this.#context;
    for (;;) {
      const clone = registered();
      if (clone?.id !== id) throw errors.anotherRequest();
      if (isKnownToAll(clone.modRevision)) return;
      if (clock.monotonicMs() >= deadlineMs) throw errors.timeout();
      await new Promise<void>((resolve) => clock.startTimer(LOOK_MS, resolve));
    }
  }

  /**
   * Accepts the cluster as it is, and removes the record of a clone that did not succeed. Resolves to that record, or
   * to undefined when there was none. Errors: cloneRunning, and those of a proposal.
   */
  async forget({ deadlineMs }: Call): Promise<UnfinishedClone | undefined> {
    const { confirmRead, registered, write } = this.#context;
    for (;;) {
      await confirmRead(deadlineMs);
      const clone = registered();
      if (clone === undefined) return undefined;
      if (this.isRunning) throw errors.cloneRunning(clone.donor);
      if (await write(undefined, deadlineMs)) return clone;
    }
  }

  /**
   * Called from time to time. Records what could not be recorded before, and the failure of a clone whose node is gone;
   * logs the failure of a clone, also after a restart.
   */
  async tend(): Promise<void> {
    const { self, isAlive, leadsMeta, write } = this.#context;
    if (this.#ended !== undefined) await this.#writeEnd();
    this.#tellFailure();
    const clone = this.unfinished;
    if (clone === undefined || clone.error !== null || clone.id === this.#heldId) {
      this.#gone = undefined;
    } else if (clone.id === this.#withdrawnId) {
      await write(undefined, this.#deadlineMs());
    } else if (clone.filler.node === self.node) {
      await this.#fail(clone, 'the node that filled the cluster was started again');
    } else if (isAlive(clone.filler.node)) {
      this.#gone = undefined;
    } else if (leadsMeta() && this.#isGone(clone.id)) {
      await this.#fail(clone, `node ${clone.filler.node}, which filled the cluster, is out of reach`);
    }
  }

  #tellFailure(): void {
    const { log, isFresh } = this.#context;
    const { id, donor, error } = this.unfinished ?? { error: null };
    if (error === null || id === this.#toldId || !isFresh()) return;
    this.#toldId = id;
    log(nodeEvents.cloneFailed, { donor, reason: error });
  }

  #isGone(id: string): boolean {
    const nowMs = this.#context.clock.monotonicMs();
    if (this.#gone?.id !== id) this.#gone = { id, sinceMs: nowMs };
    return nowMs - this.#gone.sinceMs >= FILLER_GONE_MS;
  }

  async #fail({ id, filler, donor }: UnfinishedClone, error: string): Promise<void> {
    await this.#context.write({ id, filler, donor, error }, this.#deadlineMs());
  }

  async #end(error: string | undefined): Promise<void> {
    this.#ended = { error };
    try {
      await this.#writeEnd();
    } catch (failure) {
      // `tend` tries again.
      if (!(failure instanceof ApiError)) throw failure;
    }
  }

  async #writeEnd(): Promise<void> {
    const { registered, write, confirmRead } = this.#context;
    await confirmRead(this.#deadlineMs());
    const ended = this.#ended;
    const clone = registered();
    if (ended === undefined) return;
    if (clone !== undefined && clone.id === this.#heldId && clone.error === null) {
      const { id, filler, donor } = clone;
      const { error } = ended;
      const next = error === undefined ? undefined : { id, filler, donor, error };
      if (!(await write(next, this.#deadlineMs()))) return;
    }
    this.#ended = undefined;
    this.#heldId = undefined;
  }

  #deadlineMs(): number {
    return this.#context.clock.monotonicMs() + END_MS;
  }
}
