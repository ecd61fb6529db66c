import type { Entry, StorageAppend } from '@coxswain/raft';
import type { Clock, SpanContext, Tracer } from '@coxswain/runtime';
import type { GroupId } from '@coxswain/wal';
import type { Proposal } from './proposals.js';
import type { ReplicaHost } from './replica-host.js';
import type { WriteStages } from './write-stages.js';

/**
 * Notes when the entries of one group that are under way reach the stages of a write, and measures those that this node
 * proposed. It costs a reading of the clock and a mark for each batch, not for each entry.
 */
export class WriteProgress {
  readonly #group: GroupId;
  readonly #tracer: Tracer | undefined;
  /** The writes of other nodes whose traces this leader records, by index. */
  readonly #followed = new Map<number, { readonly trace: SpanContext; readonly beganMs: number }>();
  readonly #stages: WriteStages;
  readonly #clock: Clock;
  readonly #handed = new Milestone();
  readonly #durable = new Milestone();
  readonly #committed = new Milestone();

  constructor(
    group: GroupId,
    { writeStages, clock, tracer }: Pick<ReplicaHost, 'writeStages' | 'clock' | 'tracer'>,
  ) {
    this.#group = group;
    this.#stages = writeStages;
    this.#clock = clock;
    this.#tracer = tracer;
  }

  /** Has the stages of the entry at `index`, which this leader appended for another node, recorded in its trace. */
  follow(index: number, trace: SpanContext): void {
    this.#followed.set(index, { trace, beganMs: this.#clock.monotonicMs() });
  }

  /** Called when an append is about to be handed to the write-ahead log. */
  handed({ entries }: StorageAppend): void {
    this.#handed.reach(entries, this.#clock.monotonicMs());
  }

  /** Called when an append is durable in the write-ahead log. */
  durable({ entries }: StorageAppend): void {
    this.#durable.reach(entries, this.#clock.monotonicMs());
  }

  /** Called when entries are committed and durable here (D2). */
  committed(entries: readonly Entry[]): void {
    this.#committed.reach(entries, this.#clock.monotonicMs());
  }

  /**
   * Called when entries are applied and about to be answered. `proposals` holds, at the same positions, the proposals
   * of this node for which somebody waits.
   */
  applied(entries: readonly Entry[], proposals: readonly (Proposal | undefined)[]): void {
    const nowMs = this.#clock.monotonicMs();
    const stages = this.#stages;
    for (let i = 0; i < entries.length; i++) {
      const proposal = proposals[i];
      const { index } = entries[i]!;
      const followed = this.#followed.size === 0 ? undefined : this.#followed.get(index);
      if (proposal === undefined && followed === undefined) continue;
      const handedMs = this.#handed.at(index);
      const durableMs = this.#durable.at(index);
      const committedMs = this.#committed.at(index);
      // Entries that were in the log when the core was started anew have no marks.
      if (handedMs === undefined || durableMs === undefined || committedMs === undefined) continue;
      const times = { handedMs, durableMs, committedMs, appliedMs: nowMs };
      if (followed !== undefined) this.#recordLed(index, followed, times);
      if (proposal === undefined) continue;
      stages.queue.observe((handedMs - proposal.beganMs) / 1000);
      stages.wal.observe((durableMs - handedMs) / 1000);
      stages.peers.observe((committedMs - durableMs) / 1000);
      stages.apply.observe((nowMs - committedMs) / 1000);
      proposal.call.applied?.(nowMs, stages);
      const { trace } = proposal.call;
      if (trace?.isSampled) this.#recordStages(index, trace, proposal.beganMs, times);
    }
    this.#forget(entries.at(-1)!.index);
  }

  /** Forgets all marks, because the core begins anew. */
  clear(): void {
    this.#forget(Number.POSITIVE_INFINITY);
  }

  /** Records a write that this leader appended for another node, and its stages here. */
  #recordLed(
    index: number,
    { trace, beganMs }: { trace: SpanContext; beganMs: number },
    times: StageTimes,
  ): void {
    const tracer = this.#tracer!;
    const context = tracer.begin(trace);
    tracer.record({
      name: 'lead a write',
      kind: 'server',
      context,
      parentId: trace.spanId,
      beganMs,
      endedMs: times.appliedMs,
      attributes: this.#attributes(index),
    });
    this.#recordStages(index, context, beganMs, times);
  }

  /** Records the stages of a write as parts of the span `parent`. */
  #recordStages(index: number, parent: SpanContext, beganMs: number, times: StageTimes): void {
    const tracer = this.#tracer;
    if (tracer === undefined) return;
    const { handedMs, durableMs, committedMs, appliedMs } = times;
    const moments = [beganMs, handedMs, durableMs, committedMs, appliedMs];
    for (const [i, name] of STAGE_NAMES.entries()) {
      tracer.record({
        name,
        kind: 'internal',
        context: tracer.begin(parent),
        parentId: parent.spanId,
        beganMs: moments[i]!,
        endedMs: moments[i + 1]!,
        attributes: this.#attributes(index),
      });
    }
    tracer.wrote(this.#group, index, parent);
  }

  #attributes(index: number): Record<string, number> {
    return { 'coxswain.shard_id': this.#group, 'coxswain.index': index };
  }

  #forget(index: number): void {
    for (const known of this.#followed.keys()) if (known <= index) this.#followed.delete(known);
    for (const milestone of [this.#handed, this.#durable, this.#committed]) milestone.forget(index);
  }
}

/** The moments at which an entry reached the stages of a write, on the monotonic clock. */
interface StageTimes {
  readonly handedMs: number;
  readonly durableMs: number;
  readonly committedMs: number;
  readonly appliedMs: number;
}

/** The stages of a write in a trace, named as the metric coxswain_write_stage_seconds names them. */
const STAGE_NAMES = ['queue', 'wal', 'peers', 'apply'];

/** The times at which entries reached one stage. */
class Milestone {
  /** The marks in ascending order; no two cover the same index. */
  readonly #marks: { readonly first: number; last: number; readonly atMs: number }[] = [];

  /** Notes that these consecutive entries have reached the stage. Entries whose place they take no longer count. */
  reach(entries: readonly Entry[], atMs: number): void {
    if (entries.length === 0) return;
    const marks = this.#marks;
    const first = entries[0]!.index;
    for (let mark = marks.at(-1); mark !== undefined && mark.last >= first; mark = marks.at(-1)) {
      if (mark.first < first) mark.last = first - 1;
      else marks.pop();
    }
    marks.push({ first, last: entries.at(-1)!.index, atMs });
  }

  /**
   * Gives the time at which the entry at `index` reached the stage. Called in ascending order: entries before `index`
   * are forgotten.
   */
  at(index: number): number | undefined {
    this.forget(index - 1);
    const mark = this.#marks[0];
    return mark !== undefined && mark.first <= index ? mark.atMs : undefined;
  }

  /** Forgets the entries up to `index`. */
  forget(index: number): void {
    while (this.#marks.length > 0 && this.#marks[0]!.last <= index) this.#marks.shift();
  }
}
