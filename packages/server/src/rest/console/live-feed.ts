import type {
  EventRow,
  LiveEvents,
  LiveSamples,
  LiveState,
  Sample,
  TableChanges,
  TableRow,
} from '@coxswain/console';
import type { NodeParts } from '@coxswain/node';
import type { Event, EventJournal } from '../../process/event-journal.js';
import { consoleErrors } from './console-errors.js';
import { type LiveSections, type Sections, tableRow } from './live-sections.js';
import type { LiveStream } from './live-stream.js';
import type { Samples } from './samples.js';

/** Pages that a node serves at the same time. */
const STREAMS_MAX = 16;
/** Changes of leaders and tables are sent at once, but not more often than this. */
const CHANGE_INTERVAL_MS = 250;

/** Events of the past that a page begins with. */
const EVENTS_FIRST = 200;

/**
 * Feeds the pages that are open. What has changed is found once a second, and at once when a leader changes, and is put
 * into bytes once for all of them; while no page is open nothing is looked at. A page that reads too slowly gets no
 * changes until it has read what there is, and then the whole state anew: it misses samples, and never a state.
 */
export class LiveFeed {
  readonly #node: Pick<NodeParts, 'cluster' | 'reports'>;
  readonly #sections: LiveSections;
  readonly #samples: Samples;
  readonly #journal: Pick<EventJournal, 'recent' | 'sequence' | 'watch'>;
  readonly #streams = new Set<LiveStream>();
  readonly #sentSections = new Map<keyof Sections, string>();
  #sentTables = new Map<string, TableRow>();
  #leave: (() => void)[] = [];
  #change: NodeJS.Timeout | undefined;

  constructor(
    node: Pick<NodeParts, 'cluster' | 'reports'>,
    sections: LiveSections,
    samples: Samples,
    journal: Pick<EventJournal, 'recent' | 'sequence' | 'watch'>,
  ) {
    this.#node = node;
    this.#sections = sections;
    this.#samples = samples;
    this.#journal = journal;
  }

  /** Throws tooManyStreams. */
  checkRoom(): void {
    if (this.#streams.size >= STREAMS_MAX) throw consoleErrors.tooManyStreams();
  }

  /** Feeds a stream until it is closed. */
  add(stream: LiveStream): void {
    // Those that are there get what has changed first, so that what is sent as changed from now on is so for all.
    this.#sendChanges();
    this.#streams.add(stream);
    stream.onClose(() => {
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.#rest();
    });
    if (this.#streams.size === 1) this.#begin();
    this.#sendAll(stream);
  }

  /** Ends all streams. */
  close(): void {
    for (const stream of this.#streams) stream.end();
    this.#rest();
  }

  #begin(): void {
    this.#sections.refresh(performance.now());
    const watching = new AbortController();
    void this.#watchEvents(watching.signal);
    this.#leave = [
      this.#samples.onSample((sample) => this.#tick(sample)),
      this.#node.cluster.onChange(() => this.#hasChanged()),
      () => watching.abort(),
    ];
  }

  #rest(): void {
    for (const leave of this.#leave) leave();
    this.#leave = [];
    clearTimeout(this.#change);
    this.#change = undefined;
    this.#sentSections.clear();
    this.#sentTables.clear();
  }

  async #watchEvents(signal: AbortSignal): Promise<void> {
    for await (const event of this.#journal.watch(this.#journal.sequence, signal))
      this.#send('event', { events: [eventRow(event)], missed: event.missed });
  }

  #tick(sample: Sample): void {
    this.#sections.refresh(performance.now());
    this.#sendChanges();
    const message: LiveSamples = { samples: [sample] };
    this.#send('sample', message);
  }

  #hasChanged(): void {
    this.#change ??= setTimeout(() => {
      this.#change = undefined;
      this.#sendChanges();
    }, CHANGE_INTERVAL_MS);
  }

  #sendChanges(): void {
    const state = this.#changes();
    const bytes = state && frame('state', state);
    for (const stream of this.#streams) {
      if (stream.wantsAll) this.#sendAll(stream);
      else if (bytes !== undefined) stream.send(bytes);
    }
  }

  #send(event: 'sample' | 'event', message: LiveSamples | LiveEvents): void {
    const bytes = frame(event, message);
    for (const stream of this.#streams) stream.send(bytes);
  }

  /** Sends what is known to a stream that knows nothing, or not enough. */
  #sendAll(stream: LiveStream): void {
    const status = this.#node.reports.status();
    const state: LiveState = {
      isFull: true,
      ...this.#sections.sections(status),
      tables: { changed: status.tables.map(tableRow), removed: [] },
    };
    stream.sendAll(frame('state', state));
    stream.send(frame('sample', { samples: this.#samples.kept }));
    stream.send(frame('event', { events: this.#journal.recent(EVENTS_FIRST).map(eventRow), missed: 0 }));
  }

  /** What has changed since the last call; undefined: nothing. */
  #changes(): LiveState | undefined {
    const status = this.#node.reports.status();
    const changed: Record<string, unknown> = {};
    for (const [name, section] of Object.entries(this.#sections.sections(status))) {
      const text = JSON.stringify(section);
      if (this.#sentSections.get(name as keyof Sections) === text) continue;
      this.#sentSections.set(name as keyof Sections, text);
      changed[name] = section;
    }
    const tables = this.#tableChanges(status.tables.map(tableRow));
    if (tables !== undefined) changed.tables = tables;
    return Object.keys(changed).length === 0 ? undefined : { isFull: false, ...changed };
  }

  #tableChanges(rows: readonly TableRow[]): TableChanges | undefined {
    const sent = this.#sentTables;
    const changed = rows.filter((row) => !isSame(row, sent.get(row.name)));
    for (const row of changed) sent.set(row.name, row);
    const removed: string[] = [];
    if (sent.size > rows.length) {
      const there = new Set(rows.map(({ name }) => name));
      for (const name of sent.keys()) if (!there.has(name)) removed.push(name);
      for (const name of removed) sent.delete(name);
    }
    return changed.length === 0 && removed.length === 0 ? undefined : { changed, removed };
  }
}

function eventRow({ sequence, atMs, kind, fields }: Event): EventRow {
  const { code, severity, text, advice } = kind;
  return { sequence, atMs, severity, event: code, text, ...(advice !== undefined && { advice }), fields };
}

function isSame(row: TableRow, other: TableRow | undefined): boolean {
  return (
    other !== undefined &&
    row.appliedIndex === other.appliedIndex &&
    row.lastIndex === other.lastIndex &&
    row.leader === other.leader &&
    row.role === other.role &&
    row.term === other.term &&
    row.revision === other.revision &&
    row.sizeBytes === other.sizeBytes &&
    row.logBytes === other.logBytes &&
    row.problem === other.problem &&
    row.shardId === other.shardId
  );
}

/** A message as Server-Sent Events have it. JSON holds no line break. */
function frame(event: 'state' | 'sample' | 'event', message: LiveState | LiveSamples | LiveEvents): Buffer {
  return Buffer.from(`event: ${event}\ndata: ${JSON.stringify(message)}\n\n`);
}
