import { useMemo, useState } from 'preact/hooks';
import type { MemberRow, TableRow } from '../../api.js';
import { backupDeed, createTableDeed, deleteTableDeed, transferDeed } from '../deeds.js';
import { formatBytes, formatCount, formatTime } from '../format.js';
import { useKnown } from '../hooks.js';
import type { PageProps } from '../page.js';
import { addressOf, goTo } from '../router.js';
import { type Column, Empty, Panel, Rows, State } from '../ui.js';
import { NoChanges } from './no-changes.js';

/** Tables of the overview; the rest are on the page of their own. */
const FIRST_MAX = 8;

/** All tables, or one of them. */
export function TablesPage({ route, ask }: PageProps) {
  const tables = useKnown((known) => known.tables);
  const found = tables.find(({ name }) => name === route.argument);
  if (route.argument !== '') {
    return found === undefined ? (
      <>
        <h1>{route.argument}</h1>
        <Empty>There is no table of this name here.</Empty>
      </>
    ) : (
      <OneTable table={found} ask={ask} />
    );
  }
  return <AllTables ask={ask} />;
}

function AllTables({ ask }: Pick<PageProps, 'ask'>) {
  const tables = useKnown((known) => known.tables);
  const members = useKnown((known) => known.members);
  const node = useKnown((known) => known.node)!;
  const role = useKnown((known) => known.cluster?.role);
  const [wanted, setWanted] = useState('');
  const [isOnlyProblems, setIsOnlyProblems] = useState(false);
  const [newName, setNewName] = useState('');
  const columns = useMemo(() => columnsOf(members), [members]);
  const shown = tables.filter(
    ({ name, problem }) => name.includes(wanted) && (!isOnlyProblems || problem !== ''),
  );
  const mayMake = node.allows.changes && node.allows.tables && role === 'leader';
  return (
    <>
      <h1>Tables</h1>
      <div class="filters">
        <input
          type="search"
          aria-label="Filter tables by name"
          placeholder="Filter by name"
          value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={isOnlyProblems}
            onChange={(event) => setIsOnlyProblems(event.currentTarget.checked)}
          />
          Only with problems
        </label>
        <form
          class="inline"
          onSubmit={(event) => {
            event.preventDefault();
            const name = newName;
            const deed = createTableDeed(name);
            ask({
              ...deed,
              run: async () => {
                const done = await deed.run();
                setNewName('');
                return done;
              },
            });
          }}
        >
          <input
            aria-label="Name of a new table"
            placeholder="New table"
            required
            autocomplete="off"
            disabled={!mayMake}
            value={newName}
            onInput={(event) => setNewName(event.currentTarget.value)}
          />
          <button type="submit" disabled={!mayMake}>
            Create
          </button>
        </form>
      </div>
      <NoChanges />
      <Panel title={`${formatCount(shown.length)} of ${formatCount(tables.length)}`} isFlush>
        {shown.length === 0 ? (
          <Empty>{tables.length === 0 ? 'There is no table yet.' : 'No table is like this.'}</Empty>
        ) : (
          <Rows
            label="Tables"
            rows={shown}
            columns={columns}
            keyOf={({ name }) => name}
            sortedBy="Table"
            toneOf={({ problem }) => (problem === '' ? undefined : 'bad')}
          />
        )}
      </Panel>
    </>
  );
}

/** The tables of the overview: those with problems first. */
export function FirstTables() {
  const tables = useKnown((known) => known.tables);
  const members = useKnown((known) => known.members);
  const columns = useMemo(() => columnsOf(members), [members]);
  const [bad, good] = [
    tables.filter(({ problem }) => problem !== ''),
    tables.filter(({ problem }) => problem === ''),
  ];
  const first = [...bad, ...good].slice(0, FIRST_MAX);
  if (first.length === 0) return null;
  return (
    <Panel
      title="Tables"
      isFlush
      actions={<a href={addressOf('tables')}>All {formatCount(tables.length)} tables</a>}
    >
      <Rows
        label="Tables"
        rows={first}
        columns={columns.map(({ order: _order, ...column }) => column)}
        keyOf={({ name }) => name}
        toneOf={({ problem }) => (problem === '' ? undefined : 'bad')}
      />
    </Panel>
  );
}

function columnsOf(members: readonly MemberRow[]): Column<TableRow>[] {
  const nameOf = new Map(members.map(({ id, name }) => [id, name]));
  return [
    {
      name: 'Table',
      order: ({ name }) => name,
      show: ({ name, problem }) => (
        <>
          <a href={addressOf('tables', name)}>{name}</a>
          {problem !== '' && <span class="problem">{problem}</span>}
        </>
      ),
    },
    {
      name: 'Leader',
      order: ({ leader }) => leader,
      show: ({ leader }) =>
        leader === 0 ? <State tone="bad">none</State> : (nameOf.get(leader) ?? `node ${leader}`),
    },
    { name: 'Here', isMinor: true, order: ({ role }) => role, show: ({ role }) => role },
    {
      name: 'Size',
      isNumber: true,
      order: ({ sizeBytes }) => sizeBytes,
      show: ({ sizeBytes }) => formatBytes(sizeBytes),
    },
    {
      name: 'Log',
      isNumber: true,
      isMinor: true,
      order: ({ logBytes }) => logBytes,
      show: ({ logBytes }) => formatBytes(logBytes),
    },
    {
      name: 'Revision',
      isNumber: true,
      isMinor: true,
      order: ({ revision }) => revision,
      show: ({ revision }) => formatCount(revision),
    },
    {
      name: 'To apply',
      isNumber: true,
      isMinor: true,
      order: ({ lastIndex, appliedIndex }) => lastIndex - appliedIndex,
      show: ({ lastIndex, appliedIndex }) => formatCount(lastIndex - appliedIndex),
    },
    {
      name: 'Term',
      isNumber: true,
      isMinor: true,
      order: ({ term }) => term,
      show: ({ term }) => formatCount(term),
    },
  ];
}

function OneTable({ table, ask }: { readonly table: TableRow } & Pick<PageProps, 'ask'>) {
  const members = useKnown((known) => known.members);
  const node = useKnown((known) => known.node)!;
  const role = useKnown((known) => known.cluster?.role);
  const archived = useKnown(({ archive }) => archive?.tables.find(({ name }) => name === table.name));
  const tableCount = useKnown(({ tables }) => tables.length);
  const leader = members.find(({ id }) => id === table.leader);
  const others = members.filter(({ id, isConnected }) => id !== table.leader && isConnected);
  const [target, setTarget] = useState(0);
  const chosen = others.find(({ id }) => id === target) ?? others[0];
  const { changes, maintenance } = node.allows;
  const isLeaderCluster = role === 'leader';
  return (
    <>
      <nav class="crumbs" aria-label="Where this is">
        <a href={addressOf('tables')}>Tables</a>
      </nav>
      <h1>{table.name}</h1>
      {table.problem !== '' && (
        <div class="callout bad" role="alert">
          {table.problem}
        </div>
      )}
      <NoChanges />
      <div class="columns">
        <Panel title="Raft group">
          <dl class="facts">
            <dt>Leader</dt>
            <dd>
              {table.leader === 0 ? <State tone="bad">none</State> : (leader?.name ?? `node ${table.leader}`)}
            </dd>
            <dt>This node is</dt>
            <dd>{table.role}</dd>
            <dt>Shard</dt>
            <dd>{table.shardId}</dd>
            <dt>Term</dt>
            <dd>{formatCount(table.term)}</dd>
            <dt>Last entry</dt>
            <dd>{formatCount(table.lastIndex)}</dd>
            <dt>Applied</dt>
            <dd>{formatCount(table.appliedIndex)}</dd>
            <dt>Log</dt>
            <dd>{formatBytes(table.logBytes)}</dd>
          </dl>
        </Panel>
        <Panel title="Data">
          <dl class="facts">
            <dt>Size on disk, about</dt>
            <dd>{formatBytes(table.sizeBytes)}</dd>
            <dt>Revision</dt>
            <dd>{formatCount(table.revision)}</dd>
            {archived !== undefined && (
              <>
                <dt>Archived up to</dt>
                <dd>
                  {archived.archivedTimeMs === 0
                    ? formatCount(archived.archivedIndex)
                    : formatTime(archived.archivedTimeMs)}
                </dd>
              </>
            )}
          </dl>
          <p>
            <a class="button" href={addressOf('data', table.name)}>
              Browse its keys
            </a>
          </p>
        </Panel>
      </div>
      <Panel title="Actions">
        <div class="deeds">
          <div>
            <label for="target">Let another node lead</label>
            <div class="inline">
              <select
                id="target"
                disabled={chosen === undefined}
                value={String(chosen?.id ?? '')}
                onChange={(event) => setTarget(Number(event.currentTarget.value))}
              >
                {others.map(({ id, name }) => (
                  <option key={id} value={id}>
                    {name}
                  </option>
                ))}
              </select>
              <button
                type="button"
                disabled={!changes || !maintenance || chosen === undefined}
                onClick={() => ask(transferDeed(table.name, leader?.name ?? '', chosen!))}
              >
                Transfer leadership…
              </button>
            </div>
          </div>
          <div>
            <span>Save what it holds now</span>
            <button
              type="button"
              disabled={!changes || !maintenance || !isLeaderCluster}
              onClick={() => ask(backupDeed([table.name], tableCount))}
            >
              Back up…
            </button>
          </div>
          <div>
            <span>Remove it with all of its keys</span>
            <button
              type="button"
              class="danger"
              disabled={!changes || !node.allows.tables || !isLeaderCluster}
              onClick={() => {
                const deed = deleteTableDeed(table.name);
                ask({
                  ...deed,
                  run: async () => {
                    const done = await deed.run();
                    goTo(addressOf('tables'));
                    return done;
                  },
                });
              }}
            >
              Delete table…
            </button>
          </div>
        </div>
      </Panel>
    </>
  );
}
