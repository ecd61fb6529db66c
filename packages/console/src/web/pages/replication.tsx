import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { FollowerRow, FollowingSection, Sample } from '../../api.js';
import { formatCount, formatDuration, formatFigure } from '../format.js';
import { useKnown } from '../hooks.js';
import type { PageProps } from '../page.js';
import { field, type Line, Plot } from '../plot.js';
import { Callout, type Column, Empty, Figure, Panel, Rows, State, type Tone } from '../ui.js';

/** Lines that a plot can tell apart. */
const LINES_MAX = 6;
const PLOTTED_MAX = 600;
/** A follower that asked longer ago is not followed by eye any more: idle ones ask each half minute. */
const SILENT_MS = 90_000;

/** Who follows this cluster, or how it follows another one. */
export function ReplicationPage(_: PageProps) {
  const { followers, following } = useKnown((known) => known.followers);
  return (
    <>
      <h1>Replication</h1>
      {following === undefined ? <Followers rows={followers} /> : <Following following={following} />}
    </>
  );
}

const nameOf = ({ clusterId, follower }: FollowerRow): string => clusterId || follower;

function Followers({ rows }: { readonly rows: readonly FollowerRow[] }) {
  const samples = useKnown((known) => known.samples);
  const names = useMemo(() => [...new Set(rows.map(nameOf))].sort().slice(0, LINES_MAX), [rows]);
  const key = names.join('\n');
  const lines = useMemo<readonly Line[]>(
    () =>
      key.split('\n').map((name) => ({
        name: name.slice(0, 12),
        value: ({ lag }: Sample) => lag?.[name] ?? null,
      })),
    [key],
  );
  const [chosen, setChosen] = useState('');
  const pair =
    rows.find((row) => keyOf(row) === chosen) ?? rows.toSorted((a, b) => b.lagEntries - a.lagEntries)[0];
  if (rows.length === 0) {
    return (
      <Panel title="Follower clusters">
        <Empty>
          No follower cluster was heard since this node started. One follows with{' '}
          <code>coxswain follower</code> and <code>replication.leader-address</code>.
        </Empty>
      </Panel>
    );
  }
  return (
    <>
      <div class="columns">
        <Panel title="Lag by follower cluster" note="entries of the table that lags most">
          <Plot title="Lag by follower cluster" samples={samples} lines={lines} format={formatFigure} />
        </Panel>
        <Panel title="Lag of one table" note="entries, since this page was opened">
          <OneLag rows={rows} chosen={pair!} onChoose={setChosen} />
        </Panel>
      </div>
      <Panel title="By table" isFlush>
        <Rows
          label="Follower clusters by table"
          rows={rows}
          columns={followerColumns}
          keyOf={keyOf}
          sortedBy="Table"
        />
      </Panel>
    </>
  );
}

const keyOf = (row: FollowerRow): string => `${nameOf(row)} ${row.table}`;

const followerColumns: readonly Column<FollowerRow>[] = [
  { name: 'Table', order: ({ table }) => table, show: ({ table }) => table },
  {
    name: 'Follower cluster',
    order: nameOf,
    show: ({ clusterId, follower }) => (
      <>
        <span title={clusterId}>{clusterId === '' ? 'unnamed' : clusterId.slice(0, 12)}</span>
        <span class="sub">{follower}</span>
      </>
    ),
  },
  {
    name: 'Behind',
    isNumber: true,
    order: ({ lagEntries }) => lagEntries,
    show: ({ lagEntries }) => `${formatCount(lagEntries)}`,
  },
  {
    name: 'Applied',
    isNumber: true,
    isMinor: true,
    order: ({ appliedIndex }) => appliedIndex,
    show: ({ appliedIndex }) => formatCount(appliedIndex),
  },
  {
    name: 'Heard',
    isNumber: true,
    order: ({ lastSeenMsAgo }) => lastSeenMsAgo,
    show: ({ lastSeenMsAgo }) =>
      lastSeenMsAgo > SILENT_MS ? (
        <State tone="warn">{formatDuration(lastSeenMsAgo)} ago</State>
      ) : (
        `${formatDuration(lastSeenMsAgo)} ago`
      ),
  },
];

/** The lag of one table of one follower cluster: rows have no history on the node, so it begins with the page. */
function OneLag({
  rows,
  chosen,
  onChoose,
}: {
  readonly rows: readonly FollowerRow[];
  readonly chosen: FollowerRow;
  readonly onChoose: (key: string) => void;
}) {
  const samples = useKnown((known) => known.samples);
  const seen = useRef<{ key: string; points: Map<number, number> }>({ key: '', points: new Map() });
  const key = keyOf(chosen);
  if (seen.current.key !== key) seen.current = { key, points: new Map() };
  const { points } = seen.current;
  const atMs = samples.at(-1)?.atMs;
  if (atMs !== undefined) points.set(atMs, chosen.lagEntries);
  useEffect(() => {
    for (const time of [...points.keys()].slice(0, -PLOTTED_MAX)) points.delete(time);
  }, [atMs]);
  const lines = useMemo<readonly Line[]>(
    () => [{ name: 'entries behind', value: (sample: Sample) => points.get(sample.atMs) ?? null }],
    [points],
  );
  return (
    <>
      <select
        aria-label="Table and follower cluster"
        value={key}
        onChange={(event) => onChoose(event.currentTarget.value)}
      >
        {rows.map((row) => (
          <option key={keyOf(row)} value={keyOf(row)}>
            {row.table} · {nameOf(row).slice(0, 12)}
          </option>
        ))}
      </select>
      <Plot title="Lag of the table" samples={samples} lines={lines} format={formatFigure} />
    </>
  );
}

const ownLines: readonly Line[] = [{ name: 'seconds behind', value: field('lagSeconds') }];
const entryLines: readonly Line[] = [{ name: 'entries behind', value: field('lagEntries') }];

type FollowedTable = FollowingSection['tables'][number];

const stateTones: Readonly<Record<string, Tone>> = {
  replicating: 'good',
  elsewhere: 'quiet',
  recovering: 'warn',
  resetting: 'warn',
  retrying: 'warn',
  paused: 'warn',
  stopped: 'bad',
};

function Following({ following }: { readonly following: FollowingSection }) {
  const samples = useKnown((known) => known.samples);
  const members = useKnown((known) => known.members);
  const { leaderAddress, leaderClusterId, isReached, isBroken, isPaused, error, tables } = following;
  const columns = useMemo<readonly Column<FollowedTable>[]>(
    () => [
      {
        name: 'Table',
        order: ({ name }) => name,
        show: ({ name, error: problem }) => (
          <>
            {name}
            {problem !== '' && <span class="problem">{problem}</span>}
          </>
        ),
      },
      {
        name: 'State',
        order: ({ state }) => state,
        show: ({ state }) => <State tone={stateTones[state] ?? 'quiet'}>{state}</State>,
      },
      {
        name: 'Entries behind',
        isNumber: true,
        order: ({ lagEntries }) => lagEntries,
        show: ({ lagEntries }) => formatCount(lagEntries),
      },
      {
        name: 'Time behind',
        isNumber: true,
        order: ({ lagMs }) => lagMs,
        show: ({ lagMs }) => (lagMs === 0 ? '0' : formatDuration(lagMs)),
      },
      {
        name: 'Leader’s index',
        isNumber: true,
        isMinor: true,
        order: ({ leaderIndex }) => leaderIndex,
        show: ({ leaderIndex }) => formatCount(leaderIndex),
      },
      {
        name: 'By',
        isMinor: true,
        show: ({ replicatedBy }) =>
          replicatedBy === 0
            ? '–'
            : (members.find(({ id }) => id === replicatedBy)?.name ?? `node ${replicatedBy}`),
      },
    ],
    [members],
  );
  return (
    <>
      {!isReached && (
        <Callout tone="bad">
          <b>The leader cluster is out of reach.</b> Local reads go on, of older and older data. {error}
        </Callout>
      )}
      {isReached && (isBroken || error !== '') && (
        <Callout tone="bad">
          <b>Replication is broken.</b> {error} See the tables below.
        </Callout>
      )}
      {isPaused && (
        <Callout tone="warn">
          <b>A member is paused</b>, so nothing is taken from the leader cluster: resume it on the page Node.
        </Callout>
      )}
      <dl class="figures">
        <Figure
          name="Leader cluster"
          value={leaderClusterId === '' ? 'unnamed' : leaderClusterId.slice(0, 12)}
        />
        <Figure name="Reached at" value={leaderAddress || '–'} />
        <Figure name="Link" value={isReached ? 'up' : 'down'} tone={isReached ? 'good' : 'bad'} />
        <Figure name="Tables" value={formatCount(tables.length)} />
      </dl>
      <div class="columns">
        <Panel title="Time behind" note="seconds, of the table that is furthest behind and replicated here">
          <Plot title="Time behind" samples={samples} lines={ownLines} format={formatFigure} />
        </Panel>
        <Panel title="Entries behind" note="of the table that is furthest behind and replicated here">
          <Plot title="Entries behind" samples={samples} lines={entryLines} format={formatFigure} />
        </Panel>
      </div>
      <Panel title="By table" isFlush>
        <Rows
          label="Replicated tables"
          rows={tables}
          columns={columns}
          keyOf={({ name }) => name}
          sortedBy="Table"
        />
      </Panel>
    </>
  );
}
