import { Coxswain, CoxswainError, StatusCode } from '@coxswain/client';
import { events } from '@coxswain/protocol';
import { type Severity, type ShownEvent, textOfEvent } from '@coxswain/runtime';
import { type ConnectionFlags, connectOptions } from './connection-flags.js';
import { counted } from './counted.js';
import { failure } from './exit.js';
import { describeFailedCall } from './failed-call.js';
import { renderTable } from './output.js';

/** The events that are shown. */
export interface EventFilter {
  /** Goes on with each event as it happens. */
  readonly follow: boolean;
  readonly severity: Severity;
  /** Undefined: those of every kind. */
  readonly codes: ReadonlySet<string> | undefined;
  /** Milliseconds since 1970; undefined: as far back as the nodes go. */
  readonly sinceMs: number | undefined;
}

/** A node that went away is asked again after so long. */
const RETRY_MS = 1_000;

const severities: Readonly<Record<Severity, events.Severity>> = {
  debug: events.Severity.SEVERITY_UNSPECIFIED,
  info: events.Severity.SEVERITY_INFO,
  warn: events.Severity.SEVERITY_WARN,
  error: events.Severity.SEVERITY_ERROR,
};

/**
 * Shows what happened to the nodes at all endpoints, the oldest first, and with `follow` each event as it happens. Rejects
 * with a CommandError that names the endpoints that did not answer; with `follow`, only if none did.
 */
export async function showEvents(flags: ConnectionFlags, filter: EventFilter): Promise<void> {
  const view = new EventView(flags);
  const feeds = connectOptions(flags).endpoints.map((endpoint) => new EventFeed(endpoint, flags, filter));
  const histories = await Promise.allSettled(feeds.map((feed) => feed.begin()));
  const reasons = histories.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as Error] : [],
  );
  view.show(histories.flatMap((result) => (result.status === 'fulfilled' ? result.value : [])));
  if (reasons.length === feeds.length) throw reasons[0]!;
  if (!filter.follow) {
    if (reasons.length > 0) throw failure(reasons.map((reason) => textOf(reason)).join('; '));
    return;
  }
  await Promise.all(feeds.map((feed) => feed.follow((event) => view.show([event]))));
}

/** The events of the node at one endpoint. */
class EventFeed {
  readonly #endpoint: string;
  readonly #flags: ConnectionFlags;
  readonly #filter: EventFilter;
  /** The last event that has come. */
  #after: events.Position | undefined;
  #open: { readonly events: AsyncGenerator<events.Event, void>; close(): void } | undefined;

  constructor(endpoint: string, flags: ConnectionFlags, filter: EventFilter) {
    this.#endpoint = endpoint;
    this.#flags = flags;
    this.#filter = filter;
  }

  /** Resolves with what has happened until now. */
  async begin(): Promise<events.Event[]> {
    const history = await this.#history();
    return history.filter((event) => this.#isWanted(event));
  }

  /** Calls back with each event that happens from now on, also after the node was away. Never ends by itself. */
  async follow(onEvent: (event: events.Event) => void): Promise<void> {
    let said = '';
    for (;;) {
      try {
        if (this.#open === undefined) {
          for (const event of await this.begin()) onEvent(event);
          if (said !== '') process.stderr.write(`coxswain: ${this.#endpoint}: it answers again\n`);
          said = '';
        }
        for await (const event of this.#open!.events) {
          this.#after = event.position;
          if (this.#isWanted(event)) onEvent(event);
        }
        throw new Error(`${this.#endpoint}: the node stops`);
      } catch (error) {
        this.#open?.close();
        this.#open = undefined;
        if (isLasting(error)) throw error;
        // Once for each reason, however often it is asked.
        if (textOf(error) !== said) process.stderr.write(`coxswain: ${textOf(error)}: it is asked again\n`);
        said = textOf(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Asks for what the node keeps. With `follow` what comes later is left in `#open`. */
  async #history(): Promise<events.Event[]> {
    const { follow, sinceMs, severity } = this.#filter;
    const options = connectOptions(this.#flags);
    const client = await Coxswain.connect({ ...options, endpoints: [this.#endpoint] });
    try {
      const watched = await client.events.watch({
        follow,
        // With a filter nobody would know where what is kept ends, and what comes later begins.
        ...(!follow && { minimumSeverity: severities[severity], ...(sinceMs !== undefined && { sinceMs }) }),
        ...(this.#after !== undefined && { after: this.#after }),
      });
      const { newest, events: stream } = watched;
      const history: events.Event[] = [];
      if (follow) {
        const first = this.#after?.startedAtMs === newest.startedAtMs ? this.#after.sequence : 0n;
        this.#open = { events: stream, close: () => client.close() };
        this.#after = newest;
        if (first >= newest.sequence) return history;
      }
      for (;;) {
        const { done, value: event } = await stream.next();
        if (done) break;
        history.push(event);
        if (follow && event.position!.sequence >= newest.sequence) break;
      }
      return history;
    } finally {
      if (!follow) client.close();
    }
  }

  #isWanted({ code, severity, timeMs }: events.Event): boolean {
    const { codes, severity: least, sinceMs = 0 } = this.#filter;
    return severity >= severities[least] && Number(timeMs) >= sinceMs && (codes?.has(code) ?? true);
  }
}

/** What asking again does not change. */
function isLasting(error: unknown): boolean {
  const lasting = [StatusCode.UNAUTHENTICATED, StatusCode.UNIMPLEMENTED];
  return error instanceof CoxswainError && lasting.includes(error.code);
}

function textOf(error: unknown): string {
  return describeFailedCall(error) ?? (error as Error).message;
}

/** Shows events in the form that the flags ask for. */
class EventView {
  readonly #output: ConnectionFlags['output'];
  readonly #isColoured = process.stdout.isTTY === true && !process.env['NO_COLOR'];

  constructor({ output }: ConnectionFlags) {
    this.#output = output;
  }

  /** Shows events of several nodes, by their times. */
  show(given: readonly events.Event[]): void {
    const sorted = [...distinct(given)].sort((a, b) => Number(a.timeMs - b.timeMs));
    for (const { missed, nodeId } of sorted) {
      if (missed > 0n)
        process.stderr.write(
          `coxswain: ${counted(Number(missed), 'event')} of node ${nodeId} came too fast\n`,
        );
    }
    if (this.#output === 'table') process.stdout.write(renderTable(HEAD, sorted.map(rowOf)));
    else process.stdout.write(sorted.map((event) => this.#lineOf(event)).join(''));
  }

  #lineOf(event: events.Event): string {
    if (this.#output === 'json') return `${JSON.stringify(jsonOf(event))}\n`;
    return textOfEvent(shownOf(event), { nodeId: Number(event.nodeId), isColoured: this.#isColoured });
  }
}

/** Two endpoints may be of one node. */
function distinct(given: readonly events.Event[]): Iterable<events.Event> {
  const keyOf = ({ nodeId, position }: events.Event) =>
    `${nodeId} ${position?.startedAtMs} ${position?.sequence}`;
  return new Map(given.map((event) => [keyOf(event), event])).values();
}

const HEAD = ['TIME', 'NODE', 'SEVERITY', 'EVENT', 'WHAT', 'FIELDS'];

const severityNames = new Map<number, Severity>(
  Object.entries(severities).map(([name, number]) => [number, name as Severity]),
);

function shownOf({ timeMs, severity, code, text, fields }: events.Event): ShownEvent {
  return {
    time: new Date(Number(timeMs)).toISOString(),
    kind: { code, text, severity: severityNames.get(severity) ?? 'error' },
    fields: fields ?? {},
  };
}

function rowOf(event: events.Event): string[] {
  const { time, kind, fields } = shownOf(event);
  const details = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [time, String(event.nodeId), kind.severity, kind.code, kind.text, details.join(' ')];
}

/** As the log of the node has it. */
function jsonOf(event: events.Event): object {
  const { time, kind, fields } = shownOf(event);
  return {
    level: kind.severity,
    node: Number(event.nodeId),
    time,
    event: kind.code,
    ...fields,
    ...(event.advice !== '' && { advice: event.advice }),
    msg: kind.text,
  };
}
