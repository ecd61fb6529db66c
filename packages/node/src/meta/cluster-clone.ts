import type { NodeId } from '@coxswain/raft';
import type { Clock, Log, Random } from '@coxswain/runtime';
import type { Call } from '../api/call.js';
import { ApiError, errors } from '../api/errors.js';
import { nodeEvents } from '../events.js';
import type { Loader, UnfinishedClone } from './records.js';
import type { RegisteredClone } from './registry.js';

/** How long a node that fills the cluster may be out of reach before the leader of the meta group says that its clone has failed. */
const FILLER_GONE_MS = 60_000;
/** How long the node tries by itself to write how a clone has ended, before it tries again. */
const END_MS = 5_000;
/** How often is looked whether every member knows that a clone has begun. */
const LOOK_MS = 20;

export interface ClusterCloneContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly self: Loader;
  /** As of the meta group's applied index here. */
  readonly registered: () => RegisteredClone | undefined;
  /** This node has caught up since its start: what its disk says of a clone may be old before that. */
  readonly isFresh: () => boolean;
  /** Resolves when what was committed to the meta group is applied here. */
  readonly confirmRead: (deadlineMs: number) => Promise<void>;
  /** Registers `clone` in the place of the one before; undefined: none. False: that one has changed meanwhile. */
  readonly write: (clone: UnfinishedClone | undefined, deadlineMs: number) => Promise<boolean>;
  /** Every member but this one that is within reach, or may still believe that it is, has applied the meta group so far. */
  readonly isKnownToAll: (metaIndex: number) => boolean;
  readonly leadsMeta: () => boolean;
  readonly isAlive: (peer: NodeId) => boolean;
}

/** A clone that this process has begun. */
export interface HeldClone {
  /** Random: no other clone has it. */
  readonly id: string;
  /** False: it was forgotten, or is held to have failed, because this node was out of reach for too long. */
  readonly isHeld: boolean;
  /**
   * Says durably that the clone succeeded, or with `error` why it failed. Resolves when it was tried: the node goes on
   * trying by itself.
   */
  end(error?: string): Promise<void>;
  /** Takes back that it was begun: nothing has come yet. */
  withdraw(): Promise<void>;
}

/**
 * The clone of another cluster that fills this one, or was meant to (docs/operations-protocols.md §2). That it has not succeeded
 * is a record of the meta group, so every member knows it, whichever node fills the cluster, and after every restart:
 * who waits for SERVING must never get half a cluster. The record goes when the clone succeeds, when the next one takes
 * its place and succeeds, or when an operator forgets it.
 */
export class ClusterClone {
  readonly #context: ClusterCloneContext;
  /** The clone that this process fills the cluster by. */
  #heldId: string | undefined;
  /** One that this process gave up before anything had come, though its record may still be written. */
  #withdrawnId: string | undefined;
  /** How that clone has ended, until it is written. */
  #ended: { readonly error: string | undefined } | undefined;
  /** The last clone whose failure is in the log of this process, or will be: whoever begins one says how it ends. */
  #toldId: string | undefined;
  /** Since when the filler is out of reach. */
  #gone: { readonly id: string; readonly sinceMs: number } | undefined;

  constructor(context: ClusterCloneContext) {
    this.#context = context;
  }

  /** Undefined: none was begun, or the last one succeeded or was forgotten, as far as this node knows. */
  get unfinished(): UnfinishedClone | undefined {
    return this.#context.registered();
  }

  /** A node that is there fills the cluster now. */
  get isRunning(): boolean {
    const clone = this.unfinished;
    if (clone === undefined || clone.error !== null) return false;
    const { node } = clone.filler;
    return node === this.#context.self.node ? clone.id === this.#heldId : this.#context.isAlive(node);
  }

  /**
   * T2: half of the tables must not be taken for all of them, nor lose what was written to them when the rest comes. So
   * until a clone has succeeded or was forgotten, it alone writes: `cloneId` says that the clone itself asks. Throws
   * cloning and cloneFailed.
   */
  checkWrite(cloneId?: string): void {
    const clone = this.unfinished;
    if (clone === undefined && cloneId === undefined) return;
    if (clone?.error === null && clone.id !== cloneId) throw errors.cloning();
    if (clone === undefined || clone.error !== null) throw errors.cloneFailed();
  }

  /** What has come may be deleted, so that another clone can begin, but not before this one has ended. Throws cloning. */
  checkDelete(): void {
    // Also where the node that fills the cluster cannot be reached from here.
    if (this.unfinished?.error === null) throw errors.cloning();
  }

  /**
   * Writes that the cluster is being filled, in the place of a clone that did not succeed. Resolves when every member that
   * answers anybody knows it: no health probe of any of them says SERVING from then on. When it rejects nothing is left.
   * Errors: anotherRequest, timeout, and those of a proposal.
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

  /** Nothing has come yet, so there is nothing that anybody must be warned of. */
  async #withdraw(id: string): Promise<void> {
    if (this.#heldId !== id) return;
    this.#withdrawnId = id;
    await this.#end(undefined);
  }

  /** The attempt may come through although it rejects: then the clone is this process's all the same. */
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
   * Takes the cluster as it is: from now on nothing is said of a clone. Gives the one that is forgotten; undefined: there
   * was none. Errors: cloneRunning, and those of a proposal.
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
   * Called from time to time: writes what could not be written before, and that a clone has failed whose node is gone; and
   * says in the log that one has failed, also after a restart.
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
