import type {
  ArchiveSection,
  CertificateRow,
  ClusterSection,
  DiskSection,
  EventRow,
  FollowersSection,
  LiveEvents,
  LiveSamples,
  LiveState,
  MemberRow,
  NodeSection,
  Sample,
  TableRow,
  TransfersSection,
} from '../api.js';
import { announce } from './announce.js';
import { counted } from './format.js';
import { RequestError, request, sentence } from './http.js';

/** Samples of the last ten minutes are kept, as the node keeps them. */
const SAMPLES_MAX = 600;
const EVENTS_MAX = 1_000;
/** A stream that is silent for so long is taken for broken: the node sends a sample each second. */
const SILENCE_MS = 4_000;
const RETRY_MS = 1_000;
/** Leaders of so many tables are announced one by one. */
const ANNOUNCED_MAX = 3;

/** What is between the page and the node. */
type Connection =
  | { readonly phase: 'connecting' }
  | { readonly phase: 'open' }
  | { readonly phase: 'lost'; readonly sinceMs: number; readonly reason: string }
  | { readonly phase: 'refused'; readonly reason: string };

/** Everything that the page knows of the node. Each object is replaced, and never changed. */
export interface Known {
  readonly connection: Connection;
  readonly node: NodeSection | undefined;
  readonly members: readonly MemberRow[];
  readonly cluster: ClusterSection | undefined;
  /** Sorted by name. */
  readonly tables: readonly TableRow[];
  readonly followers: FollowersSection;
  readonly archive: ArchiveSection | undefined;
  readonly transfers: TransfersSection | undefined;
  readonly disk: DiskSection | undefined;
  readonly certificates: readonly CertificateRow[];
  /** The oldest first. */
  readonly samples: readonly Sample[];
  /** The oldest first. */
  readonly events: readonly EventRow[];
}

const nothing: Known = {
  connection: { phase: 'connecting' },
  node: undefined,
  members: [],
  cluster: undefined,
  tables: [],
  followers: { followers: [] },
  archive: undefined,
  transfers: undefined,
  disk: undefined,
  certificates: [],
  samples: [],
  events: [],
};

let known: Known = nothing;
const listeners = new Set<() => void>();

export function getKnown(): Known {
  return known;
}

/** Calls `listener` when something is known anew. Gives what ends that. */
export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function know(news: Partial<Known>): void {
  known = { ...known, ...news };
  for (const listener of listeners) listener();
}

/** Follows the node for as long as the page is open. Ends when a token is wanted: call it again then. */
export async function follow(): Promise<void> {
  know({ connection: { phase: 'connecting' } });
  for (;;) {
    let reason = 'The node has ended the connection.';
    try {
      await followOnce();
    } catch (error) {
      if (error instanceof RequestError && error.isUnauthenticated) {
        know({ ...nothing, connection: { phase: 'refused', reason: sentence(error) } });
        return;
      }
      reason = sentence(error);
    }
    const sinceMs = known.connection.phase === 'lost' ? known.connection.sinceMs : Date.now();
    if (known.connection.phase !== 'lost') announce('The connection to the node is lost.');
    know({ connection: { phase: 'lost', sinceMs, reason } });
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function followOnce(): Promise<void> {
  const aborter = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => aborter.abort(), SILENCE_MS);
  };
  try {
    heard();
    const response = await request('/live', { signal: aborter.signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let pending = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const messages = (pending + value).split('\n\n');
      pending = messages.pop()!;
      for (const message of messages) take(message);
    }
  } catch (error) {
    if (aborter.signal.aborted) throw new Error('The node is silent.', { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
    aborter.abort();
  }
}

/** Takes a message of Server-Sent Events, as the node writes them: one line with the kind, and one with JSON. */
function take(message: string): void {
  const [, kind, data] = /^event: (\w+)\ndata: (.*)$/s.exec(message) ?? [];
  if (kind === undefined || data === undefined) return;
  if (kind === 'state') takeState(JSON.parse(data) as LiveState);
  else if (kind === 'sample') takeSamples(JSON.parse(data) as LiveSamples);
  else if (kind === 'event') takeEvents(JSON.parse(data) as LiveEvents);
}

function takeState(state: LiveState): void {
  const { isFull, tables, archive, ...sections } = state;
  const news: { -readonly [Key in keyof Known]?: Known[Key] } = { ...sections };
  if (archive !== undefined) news.archive = archive ?? undefined;
  if (isFull) {
    news.connection = { phase: 'open' };
    if (known.connection.phase === 'lost') announce('The connection to the node is back.');
  }
  if (tables !== undefined) {
    const rows = new Map(isFull ? [] : known.tables.map((row) => [row.name, row]));
    for (const row of tables.changed) rows.set(row.name, row);
    for (const name of tables.removed) rows.delete(name);
    news.tables = [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    announceLeaders(known.tables, tables.changed);
  }
  know(news);
}

function takeSamples({ samples }: LiveSamples): void {
  const last = known.samples.at(-1)?.atMs ?? 0;
  const added = samples.filter(({ atMs }) => atMs > last);
  know({ samples: [...known.samples, ...added].slice(-SAMPLES_MAX) });
}

function takeEvents({ events }: LiveEvents): void {
  const seen = new Set(known.events.map(({ atMs, sequence }) => `${atMs} ${sequence}`));
  const added = events.filter(({ atMs, sequence }) => !seen.has(`${atMs} ${sequence}`));
  if (added.length > 0) know({ events: [...known.events, ...added].slice(-EVENTS_MAX) });
}

/** Says which tables have another leader than before, or none. */
function announceLeaders(before: readonly TableRow[], changed: readonly TableRow[]): void {
  const leaders = new Map(before.map(({ name, leader }) => [name, leader]));
  const moved = changed.filter(({ name, leader }) => leaders.has(name) && leaders.get(name) !== leader);
  if (moved.length === 0) return;
  const lost = moved.filter(({ leader }) => leader === 0).length;
  if (moved.length <= ANNOUNCED_MAX) {
    const texts = moved.map(({ name, leader }) =>
      leader === 0 ? `Table ${name} has no leader.` : `Node ${leader} leads table ${name}.`,
    );
    announce(texts.join(' '));
  } else if (lost === moved.length) announce(`${counted(lost, 'table')} have no leader.`);
  else announce(`${counted(moved.length - lost, 'table')} have another leader.`);
}
