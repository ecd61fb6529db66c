import type { MemberRow } from '../../api.js';
import { formatBytes, formatCount, formatDuration, formatFigure, formatPercent, NONE } from '../format.js';
import { useKnown } from '../hooks.js';
import type { PageProps } from '../page.js';
import { field, type Line, Plot } from '../plot.js';
import { addressOf, consoleOf } from '../router.js';
import { Callout, type Column, Figure, Panel, Rows, State, type Tone } from '../ui.js';
import { EventList } from './events.js';
import { FirstTables } from './tables.js';

const requestLines: readonly Line[] = [
  { name: 'Put', value: field('Put') },
  { name: 'Range', value: field('Range') },
  { name: 'Txn', value: field('Txn') },
  { name: 'DeleteRange', value: field('DeleteRange') },
  { name: 'IterateRange', value: field('IterateRange') },
];

/** The stages of a write in their order, as people call them. */
const stageNames = [
  ['queue', 'to the log'],
  ['wal', 'log on disk'],
  ['peers', 'majority'],
  ['apply', 'applied'],
  ['answer', 'answered'],
] as const;

const stageLines: readonly Line[] = stageNames.map(([stage, name]) => ({
  name,
  value: field(`${stage}.p99`),
}));

/** How the cluster is, at one look. */
export function OverviewPage(_: PageProps) {
  return (
    <>
      <h1>Overview</h1>
      <Problems />
      <Figures />
      <Members />
      <div class="columns">
        <Requests />
        <Stages />
      </div>
      <FirstTables />
      <RecentEvents />
    </>
  );
}

function Problems() {
  const node = useKnown((known) => known.node)!;
  const cluster = useKnown((known) => known.cluster);
  const members = useKnown((known) => known.members);
  const silent = members.filter(({ isConnected }) => !isConnected);
  const isWell =
    node.isReady && node.problemCount === 0 && silent.length === 0 && cluster?.leaderlessCount === 0;
  if (isWell) {
    return (
      <Callout tone="good">
        <b>All is well.</b> {members.length === 1 ? 'The node is' : `All ${members.length} nodes are`} here,
        every table has a leader, and {node.name} is ready.
      </Callout>
    );
  }
  return (
    <Callout tone={!node.isReady || (cluster?.leaderlessCount ?? 0) > 0 ? 'bad' : 'warn'}>
      <b>{node.isReady ? `${node.name} is ready, but:` : `${node.name} is not ready.`}</b>
      <ul>
        {node.conditions.map((condition) => (
          <li key={condition}>{conditionText(condition)}</li>
        ))}
        {silent.map(({ id, name, silentMs }) => (
          <li key={id}>
            {name} has not been heard for {formatDuration(silentMs)}.
          </li>
        ))}
        {node.problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
        {node.problemCount > node.problems.length && (
          <li>and {formatCount(node.problemCount - node.problems.length)} more</li>
        )}
      </ul>
    </Callout>
  );
}

/** `hasNoLeader` as `has no leader`. */
function conditionText(condition: string): string {
  return condition.replaceAll(/[A-Z]+/g, (capital) => ` ${capital.toLowerCase()}`);
}

function Figures() {
  const cluster = useKnown((known) => known.cluster)!;
  const last = useKnown(({ samples }) => samples.at(-1));
  const members = useKnown((known) => known.members);
  const value = (line: Line['value']): number | null => (last === undefined ? null : line(last));
  const figure = (line: Line['value'], format: (value: number) => string): string => {
    const found = value(line);
    return found === null ? NONE : format(found);
  };
  const connected = members.filter(({ isConnected }) => isConnected).length;
  const { tableCount, leaderlessCount, failedCount, role } = cluster;
  return (
    <dl class="figures">
      <Figure
        name="Nodes heard"
        value={`${connected} of ${members.length}`}
        {...(connected < members.length && { tone: 'bad' as Tone })}
      />
      <Figure name="Tables" value={formatCount(tableCount)} />
      <Figure
        name="Without a leader"
        value={formatCount(leaderlessCount)}
        {...(leaderlessCount > 0 && { tone: 'bad' as Tone })}
      />
      {failedCount > 0 && <Figure name="Failed here" value={formatCount(failedCount)} tone="bad" />}
      <Figure name="Writes" value={figure(field('writes'), formatFigure)} unit="/s" />
      <Figure
        name="Reads"
        value={formatFigure((value(field('linearizable')) ?? 0) + (value(field('serializable')) ?? 0))}
        unit="/s"
      />
      <Figure name="Write, 99 %" value={figure(field('write.p99'), formatFigure)} unit="ms" />
      <Figure name="Cluster" value={role === '' ? 'forming' : role} />
    </dl>
  );
}

const memberColumns: readonly Column<MemberRow>[] = [
  {
    name: 'Node',
    order: ({ id }) => id,
    show: ({ id, name, isSelf, restAddress }) => (
      <>
        {isSelf || restAddress === '' ? (
          name
        ) : (
          <a href={consoleOf(restAddress)} title={`The console of ${name}`}>
            {name}
          </a>
        )}
        {isSelf && <span class="tag after">this one</span>}
        <span class="sub">id {id}</span>
      </>
    ),
  },
  { name: 'State', show: (member) => <MemberState member={member} /> },
  {
    name: 'Leads',
    isNumber: true,
    order: ({ tablesLed }) => tablesLed,
    show: ({ tablesLed, leadsMeta }) => (
      <>
        {leadsMeta && <span class="tag">meta</span>}
        {formatCount(tablesLed)}
      </>
    ),
  },
  {
    name: 'Writes/s',
    isNumber: true,
    isMinor: true,
    show: ({ vitals }) => (vitals === undefined ? NONE : formatFigure(vitals.writesPerSecond)),
  },
  {
    name: 'Reads/s',
    isNumber: true,
    isMinor: true,
    show: ({ vitals }) => (vitals === undefined ? NONE : formatFigure(vitals.readsPerSecond)),
  },
  {
    name: 'CPU',
    isNumber: true,
    show: ({ vitals }) => (vitals === undefined ? NONE : formatPercent(vitals.cpuShare)),
  },
  {
    name: 'Memory',
    isNumber: true,
    isMinor: true,
    show: ({ vitals }) => (vitals === undefined ? NONE : formatBytes(vitals.residentBytes)),
  },
  {
    name: 'Disk left',
    isNumber: true,
    isMinor: true,
    show: ({ vitals }) =>
      vitals === undefined || vitals.diskFreeBytes < 0 ? NONE : formatBytes(vitals.diskFreeBytes),
  },
  {
    name: 'Up for',
    isNumber: true,
    isMinor: true,
    show: ({ vitals }) => (vitals === undefined ? NONE : formatDuration(Date.now() - vitals.startedMs)),
  },
  { name: 'Version', isMinor: true, show: ({ vitals }) => vitals?.version ?? NONE },
];

function Members() {
  const members = useKnown((known) => known.members);
  return (
    <Panel title="Nodes" isFlush>
      <Rows label="Nodes" rows={members} columns={memberColumns} keyOf={({ id }) => id} sortedBy="Node" />
    </Panel>
  );
}

/** How a member is, in a word. */
export function MemberState({ member }: { readonly member: MemberRow }) {
  const { isConnected, silentMs, state, vitals, isSelf } = member;
  if (!isConnected) return <State tone="bad">silent for {formatDuration(silentMs)}</State>;
  if (state !== 'online') return <State tone="warn">{state}</State>;
  if (vitals === undefined) return <State tone="quiet">{isSelf ? 'here' : 'connected'}</State>;
  if (!vitals.isReady) return <State tone="bad">not ready</State>;
  return vitals.problemCount > 0 ? (
    <State tone="warn">ready, with problems</State>
  ) : (
    <State tone="good">ready</State>
  );
}

function Requests() {
  const samples = useKnown((known) => known.samples);
  return (
    <Panel title="Requests" note="each second, by method">
      <Plot title="Requests each second" samples={samples} lines={requestLines} format={formatFigure} />
    </Panel>
  );
}

function Stages() {
  const samples = useKnown((known) => known.samples);
  return (
    <Panel title="Where a write’s time goes" note="99th percentile of each stage, in milliseconds">
      <Plot title="Stages of a write" samples={samples} lines={stageLines} format={formatFigure} />
    </Panel>
  );
}

function RecentEvents() {
  const events = useKnown((known) => known.events);
  if (events.length === 0) return null;
  return (
    <Panel title="Recent events" isFlush actions={<a href={addressOf('events')}>All events</a>}>
      <EventList events={events.slice(-8).toReversed()} />
    </Panel>
  );
}
