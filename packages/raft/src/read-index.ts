import type { NodeId, ReadContext } from './types.js';

/** One question for the read index: its sender, and the commit index at its arrival. */
export interface ReadRound {
  readonly context: ReadContext;
  readonly from: NodeId;
  readonly index: number;
}

/**
 * The ReadIndex rounds of a leader that wait for confirmation (thesis 6.4, P2), oldest first. Rounds have consecutive
 * sequence numbers. A follower that answers one round answers every earlier one, too, since it was still in the
 * leader's term after all of them had arrived. So the confirmed rounds are a prefix, found with the same majority
 * arithmetic as the commit index.
 */
export class ReadIndexQueue {
  #rounds: ReadRound[] = [];
  #firstSequence = 1;
  readonly #acknowledged = new Map<NodeId, number>();

  get isEmpty(): boolean {
    return this.#rounds.length === 0;
  }

  /** The context for the next heartbeat, or '' when no round waits. */
  get newestContext(): ReadContext {
    return this.#rounds.at(-1)?.context ?? '';
  }

  /** The sequence number of the newest round that waits. */
  get newestSequence(): number {
    return this.#firstSequence + this.#rounds.length - 1;
  }

  /** Adds a round. Returns false for a repeat of a waiting round, whose first arrival answers both. */
  add(round: ReadRound): boolean {
    if (this.#placeOf(round.context) !== -1) return false;
    this.#rounds.push(round);
    return true;
  }

  /**
   * Records a follower's answer. Returns false when `context` is not waiting: confirmed meanwhile, of an earlier term,
   * or empty.
   */
  acknowledge(from: NodeId, context: ReadContext): boolean {
    const sequence = this.#firstSequence + this.#placeOf(context);
    if (sequence < this.#firstSequence || sequence <= this.acknowledgedBy(from)) return false;
    this.#acknowledged.set(from, sequence);
    return true;
  }

  /** Returns the newest round that `node` has answered; 0 for none. */
  acknowledgedBy(node: NodeId): number {
    return this.#acknowledged.get(node) ?? 0;
  }

  /** Removes and returns the rounds up to `sequence`. */
  confirm(sequence: number): readonly ReadRound[] {
    const count = sequence - this.#firstSequence + 1;
    if (count <= 0) return [];
    const confirmed = this.#rounds.slice(0, count);
    this.#rounds = this.#rounds.slice(count);
    this.#firstSequence += confirmed.length;
    return confirmed;
  }

  /** Returns -1 for a round that does not wait. Few rounds do: a node has one under way at a time. */
  #placeOf(context: ReadContext): number {
    return this.#rounds.findLastIndex((round) => round.context === context);
  }
}
