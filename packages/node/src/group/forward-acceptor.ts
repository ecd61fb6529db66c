import { NO_NODE, type NodeId, type Raft } from '@coxswain/raft';
import { formatTraceparent, parseTraceparent, type SpanContext } from '@coxswain/runtime';
import { sealEnvelope } from '@coxswain/table';
import type { GroupId } from '@coxswain/wal';
import type { Forward, Traces } from '../cluster/frame.js';
import type { EntryStamps } from './entry-stamps.js';
import { ForwardedSequences } from './forwarded.js';
import type { SentProposal } from './proposals.js';
import type { Outbox, ReplicaHost } from './replica-host.js';
import type { WriteProgress } from './write-progress.js';

/** The traces of announced proposals that are kept at most: the proposals follow in the same frame. */
const TRACES_MAX = 1_024;

/** Announces to the leader the traces to which proposals belong that are about to be forwarded to it. */
export function announceTraces(frame: Outbox, group: GroupId, proposals: readonly SentProposal[]): void {
  const traces = proposals.flatMap(({ sequence, call: { trace } }) =>
    trace?.isSampled ? { sequence, traceparent: formatTraceparent(trace) } : [],
  );
  if (traces.length > 0) frame.traces({ group, traces });
}

/** Appends the proposals of other nodes on a leader, each proposal once (P1). */
export class ForwardAcceptor {
  readonly #host: ReplicaHost;
  readonly #stamps: EntryStamps;
  readonly #sequences = new ForwardedSequences();

  readonly #progress: WriteProgress;
  /** The traces of proposals that were announced and have not come, by `node/boot/sequence`. */
  readonly #traces = new Map<string, SpanContext>();

  constructor(host: ReplicaHost, stamps: EntryStamps, progress: WriteProgress) {
    this.#host = host;
    this.#stamps = stamps;
    this.#progress = progress;
  }

  /**
   * Appends the proposals of a message if `raft` leads in exactly the message's term (P1); `raft` is undefined when
   * this node appends nothing for the group at the moment. Sends refusals at once. Returns whether it appended
   * anything.
   */
  accept(raft: Raft | undefined, message: Forward, from: { node: NodeId; boot: string }): boolean {
    const origin = `${from.node}/${from.boot}`;
    // A repeat of an appended proposal is not refused (P1), even when nothing is accepted any more.
    const refuse = (isBusy: boolean): void =>
      this.#refuse(
        message,
        from.node,
        isBusy,
        this.#sequences.notAppended(message.term, origin, message.proposals),
      );
    if (raft === undefined || raft.role !== 'leader' || raft.term !== message.term) {
      refuse(false);
      return false;
    }
    if (this.#host.isDiskFull) {
      refuse(true);
      return false;
    }
    // The proposing node gives the proposal to the next leader once it has applied an entry of a later term, or to this
    // one again if the transfer came to nothing (P1). After a refusal it would send it here again at once.
    if (raft.transferTarget !== NO_NODE) return false;
    const fresh = this.#sequences.fresh(message.term, origin, message.settledBelow, message.proposals);
    if (fresh.length === 0) return false;
    const timeMs = this.#stamps.next();
    const entries = fresh.map(({ kind, sequence, command, cursor }) =>
      sealEnvelope(kind, timeMs, { node: from.node, boot: from.boot, sequence }, command, cursor),
    );
    const outcome = raft.propose(entries);
    if (outcome !== 'appended') {
      const sequences = fresh.map(({ sequence }) => sequence);
      this.#refuse(message, from.node, outcome === 'tooManyUncommitted', sequences);
      return false;
    }
    this.#sequences.appended(origin, fresh);
    this.#host.counters.appended += fresh.length;
    if (this.#traces.size > 0) this.#follow(raft.lastIndex, origin, fresh);
    return true;
  }

  /** Notes the traces of proposals that follow. */
  acceptTraces({ traces }: Traces, from: { node: NodeId; boot: string }): void {
    if (this.#host.tracer === undefined) return;
    // Those of proposals that were refused, or had come before.
    if (this.#traces.size + traces.length > TRACES_MAX) this.#traces.clear();
    for (const { sequence, traceparent } of traces) {
      const trace = parseTraceparent(traceparent);
      if (trace?.isSampled) this.#traces.set(`${from.node}/${from.boot}/${sequence}`, trace);
    }
  }

  /** Has the progress of the proposals that were just appended, up to `lastIndex`, recorded in their traces. */
  #follow(lastIndex: number, origin: string, appended: readonly { readonly sequence: number }[]): void {
    appended.forEach(({ sequence }, position) => {
      const key = `${origin}/${sequence}`;
      const trace = this.#traces.get(key);
      if (trace === undefined) return;
      this.#traces.delete(key);
      this.#progress.follow(lastIndex - appended.length + 1 + position, trace);
    });
  }

  #refuse({ group, term }: Forward, node: NodeId, isBusy: boolean, sequences: number[]): void {
    if (sequences.length > 0) this.#host.peers.frameTo(node).refused({ group, term, isBusy, sequences });
  }
}
