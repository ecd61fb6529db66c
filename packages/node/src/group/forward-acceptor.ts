import { NO_NODE, type NodeId, type Raft } from '@coxswain/raft';
import { sealEnvelope } from '@coxswain/table';
import type { Forward } from '../cluster/frame.js';
import type { EntryStamps } from './entry-stamps.js';
import { ForwardedSequences } from './forwarded.js';
import type { ReplicaHost } from './replica-host.js';

/** Appends on a leader what other nodes propose, each proposal once (P1). */
export class ForwardAcceptor {
  readonly #host: ReplicaHost;
  readonly #stamps: EntryStamps;
  readonly #sequences = new ForwardedSequences();

  constructor(host: ReplicaHost, stamps: EntryStamps) {
    this.#host = host;
    this.#stamps = stamps;
  }

  /**
   * Appends a message's proposals while `raft` leads in exactly the term that it was asked in (P1); undefined: this node
   * appends nothing for the group now. Says whether anything was appended. Refusals are sent at once.
   */
  accept(raft: Raft | undefined, message: Forward, from: { node: NodeId; boot: string }): boolean {
    const origin = `${from.node}/${from.boot}`;
    // A repeat of what was appended is not refused (P1), also where nothing is accepted any more.
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
    // The node that proposed gives it to the next leader when it has applied an entry of a later term, or to this one
    // again when the transfer came to nothing (P1). After a refusal it would send it here again at once.
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
    return true;
  }

  #refuse({ group, term }: Forward, node: NodeId, isBusy: boolean, sequences: number[]): void {
    if (sequences.length > 0) this.#host.peers.frameTo(node).refused({ group, term, isBusy, sequences });
  }
}
