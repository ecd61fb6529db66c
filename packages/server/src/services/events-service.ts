import { events } from '@coxswain/protocol';
import type { EventFields, Severity } from '@coxswain/runtime';
import { type CallContext, type Method, stream } from '../grpc/call.js';
import type { EventJournal, WatchedEvent } from '../process/event-journal.js';

const severityNumbers: Readonly<Record<Severity, events.Severity>> = {
  debug: events.Severity.SEVERITY_UNSPECIFIED,
  info: events.Severity.SEVERITY_INFO,
  warn: events.Severity.SEVERITY_WARN,
  error: events.Severity.SEVERITY_ERROR,
};

/** coxswain.v1.Events: what happened to this node, for `coxswain events`. */
export class EventsService {
  readonly #journal: EventJournal;
  readonly #nodeId: bigint;

  constructor(journal: EventJournal, nodeId: number) {
    this.#journal = journal;
    this.#nodeId = BigInt(nodeId);
  }

  /**
   * Sends the events that are kept, and with `follow` each as it happens. It holds nothing for a caller that reads too slowly:
   * the next event that the caller gets says how many it has missed.
   */
  async *watch(
    request: events.WatchRequest,
    { signal }: Pick<CallContext, 'signal'>,
  ): AsyncGenerator<events.Event> {
    const journal = this.#journal;
    const last = journal.sequence;
    const start = this.#startOf(request);
    yield events.Event.fromPartial({ position: this.#position(last), nodeId: this.#nodeId });
    if (!request.follow && start >= last) return;
    let missed = 0;
    for await (const event of journal.watch(start, signal)) {
      missed += event.missed;
      if (severityNumbers[event.kind.severity] >= request.minimumSeverity) {
        yield this.#message({ ...event, missed });
        missed = 0;
      }
      if (!request.follow && event.sequence >= last) return;
    }
  }

  methods(): readonly Method[] {
    return [stream(events.EventsService.watch, (request, call) => this.watch(request, call))];
  }

  /** The sequence number after which to begin. */
  #startOf({ since }: events.WatchRequest): number {
    const journal = this.#journal;
    const kept = journal.since(0);
    const beforeAll = (kept[0]?.sequence ?? 1) - 1;
    if (since?.$case === 'timeMs') {
      const first = kept.find(({ atMs }) => atMs >= Number(since.value));
      return first === undefined ? journal.sequence : first.sequence - 1;
    }
    if (since === undefined || Number(since.value.startedAtMs) !== journal.startedAtMs) return beforeAll;
    return Number(since.value.sequence);
  }

  #position(sequence: number): events.Position {
    return { startedAtMs: BigInt(this.#journal.startedAtMs), sequence: BigInt(sequence) };
  }

  #message({ sequence, atMs, kind, fields, missed }: WatchedEvent): events.Event {
    const { severity, code, text, advice = '' } = kind;
    return {
      position: this.#position(sequence),
      timeMs: BigInt(Math.trunc(atMs)),
      nodeId: this.#nodeId,
      severity: severityNumbers[severity],
      ...{ code, text, advice },
      fields: toJson(fields),
      missed: BigInt(missed),
    };
  }
}

/** The fields as the log has them: JSON has no undefined, and a Struct holds nothing else. */
function toJson(fields: EventFields): Record<string, unknown> {
  return JSON.parse(JSON.stringify(fields)) as Record<string, unknown>;
}
