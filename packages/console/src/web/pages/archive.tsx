import { useState } from 'preact/hooks';
import type { ArchiveAnswer, ArchiveSection, TransferCounts } from '../../api.js';
import { backupDeed } from '../deeds.js';
import { counted, formatBytes, formatCount, formatDuration, formatTime, NONE } from '../format.js';
import { useKnown, useSeconds } from '../hooks.js';
import { get, sentence } from '../http.js';
import type { PageProps } from '../page.js';
import { Callout, type Column, Empty, Figure, Panel, Rows, State, type Tone } from '../ui.js';
import { NoChanges } from './no-changes.js';

type ArchivedTable = ArchiveSection['tables'][number];

const tones: Readonly<Record<string, Tone>> = {
  archiving: 'good',
  elsewhere: 'quiet',
  retrying: 'warn',
  full: 'bad',
};

/** What could be brought back, and backups that are taken now. */
export function ArchivePage({ ask }: PageProps) {
  const node = useKnown((known) => known.node)!;
  const role = useKnown((known) => known.cluster?.role);
  const tableCount = useKnown(({ tables }) => tables.length);
  const archive = useKnown((known) => known.archive);
  const mayBackUp = node.allows.changes && node.allows.maintenance && role === 'leader';
  return (
    <>
      <h1>Backups</h1>
      <NoChanges />
      <Panel
        title="Back up now"
        actions={
          <button type="button" disabled={!mayBackUp} onClick={() => ask(backupDeed([], tableCount))}>
            Back up all tables…
          </button>
        }
      >
        <p>
          {role === 'leader'
            ? 'A backup holds each table as it is at one revision. One table alone is backed up on its own page.'
            : 'A follower cluster is backed up at its leader cluster.'}{' '}
          For scripts there is <code>coxswain backup --dir DIRECTORY</code>, which goes on where it was broken
          off.
        </p>
        <Transfers />
      </Panel>
      {archive === undefined ? (
        <Panel title="Archive">
          <Empty>
            No archive is configured. With <code>archive.target</code> every write is stored in a bucket or
            directory within seconds, and each table can be restored to any moment.
          </Empty>
        </Panel>
      ) : (
        <Archive archive={archive} />
      )}
    </>
  );
}

function Transfers() {
  const transfers = useKnown((known) => known.transfers);
  if (transfers === undefined) return null;
  const { backups, restores, binlogBackup } = transfers;
  return (
    <div class="scroll">
      <table aria-label="Backups and restores of this node since it started">
        <thead>
          <tr>
            <th scope="col">Since this node started</th>
            <th scope="col" class="number">
              Under way
            </th>
            <th scope="col" class="number">
              Done
            </th>
            <th scope="col" class="number">
              Failed
            </th>
            <th scope="col" class="number">
              Bytes
            </th>
          </tr>
        </thead>
        <tbody>
          <TransferRow name="Backups of tables" counts={backups} />
          <TransferRow name="Restores of tables" counts={restores} />
        </tbody>
      </table>
      {binlogBackup.state !== 'none' && (
        <p>
          Backup <code>{binlogBackup.backupId}</code> of the archive (moco-agent): {binlogBackup.state}
          {binlogBackup.error === '' ? '.' : `: ${binlogBackup.error}`}
        </p>
      )}
    </div>
  );
}

function TransferRow({ name, counts }: { readonly name: string; readonly counts: TransferCounts }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="number">{formatCount(counts.underWay)}</td>
      <td class="number">{formatCount(counts.succeeded)}</td>
      <td class="number">{formatCount(counts.failed)}</td>
      <td class="number">{formatBytes(counts.bytes)}</td>
    </tr>
  );
}

function Archive({ archive }: { readonly archive: ArchiveSection }) {
  const nowMs = useSeconds();
  const [table, setTable] = useState('');
  const { target, backlogBytes, backlogBytesMax, warnings, tables } = archive;
  const share = backlogBytesMax === 0 ? 0 : backlogBytes / backlogBytesMax;
  const columns: readonly Column<ArchivedTable>[] = [
    {
      name: 'Table',
      order: ({ name }) => name,
      show: ({ name, error }) => (
        <>
          <button type="button" class="link" aria-expanded={name === table} onClick={() => setTable(name)}>
            {name}
          </button>
          {error !== '' && <span class="problem">{error}</span>}
        </>
      ),
    },
    {
      name: 'State',
      order: ({ state }) => state,
      show: ({ state }) => <State tone={tones[state] ?? 'quiet'}>{state}</State>,
    },
    {
      name: 'Stored up to',
      isNumber: true,
      order: ({ archivedTimeMs }) => archivedTimeMs,
      show: ({ archivedTimeMs, archivedIndex }) =>
        archivedTimeMs === 0 ? (
          archivedIndex === 0 ? (
            NONE
          ) : (
            `entry ${formatCount(archivedIndex)}`
          )
        ) : (
          <time
            dateTime={new Date(archivedTimeMs).toISOString()}
            title={`${formatDuration(nowMs - archivedTimeMs)} ago`}
          >
            {formatTime(archivedTimeMs)}
          </time>
        ),
    },
    {
      name: 'Waiting',
      isNumber: true,
      order: ({ backlogBytes: bytes }) => bytes,
      show: ({ backlogBytes: bytes, backlogMs }) =>
        bytes === 0 ? '0' : `${formatBytes(bytes)} for ${formatDuration(backlogMs)}`,
    },
    {
      name: 'Gaps',
      isNumber: true,
      order: ({ gapCount }) => gapCount,
      show: ({ gapCount }) => (gapCount === 0 ? '0' : <State tone="bad">{formatCount(gapCount)}</State>),
    },
  ];
  return (
    <>
      {warnings.map((warning) => (
        <Callout key={warning} tone="warn">
          {warning}
        </Callout>
      ))}
      <dl class="figures">
        <Figure name="Archive" value={target} />
        <Figure
          name={`Waiting on this node, of ${formatBytes(backlogBytesMax)}`}
          value={formatBytes(backlogBytes)}
          {...(share > 0.5 && { tone: 'warn' as Tone })}
        />
      </dl>
      <Panel title="Archive" note="choose a table to see to which moments it can be restored" isFlush>
        <Rows
          label="Archive by table"
          rows={tables}
          columns={columns}
          keyOf={({ name }) => name}
          sortedBy="Table"
        />
      </Panel>
      {table !== '' && <Restorable key={table} table={table} />}
    </>
  );
}

/** To which moments a table can be restored, by what its archive holds now. */
function Restorable({ table }: { readonly table: string }) {
  const [answer, setAnswer] = useState<ArchiveAnswer>();
  const [failure, setFailure] = useState('');
  const [isReading, setIsReading] = useState(false);
  const [isAsked, setIsAsked] = useState(false);
  const read = async (): Promise<void> => {
    setIsReading(true);
    setFailure('');
    try {
      setAnswer(await get<ArchiveAnswer>(`/archive?table=${encodeURIComponent(table)}`));
    } catch (error) {
      setFailure(sentence(error));
    }
    setIsReading(false);
  };
  if (!isAsked) {
    setIsAsked(true);
    void read();
  }
  return (
    <Panel
      title={`What can be restored of ${table}`}
      actions={
        <button type="button" disabled={isReading} onClick={() => void read()}>
          {isReading ? 'Reading the archive…' : 'Look again'}
        </button>
      }
    >
      <div aria-live="polite">
        {failure !== '' && <p class="failure">{failure}</p>}
        {answer?.shards.length === 0 && <Empty>The archive holds nothing of it yet.</Empty>}
        {answer?.shards.toReversed().map((shard, index) => (
          <section key={shard.shardId} class="shard">
            <h3>
              {index === 0 ? 'The newest table of this name' : 'An earlier table of this name'}{' '}
              <span class="sub">shard {shard.shardId}</span>
            </h3>
            {shard.restorable.length === 0 ? (
              <p>Nothing can be restored of it.</p>
            ) : (
              <>
                <p class="moments">
                  <Moment ms={shard.firstTimeMs} /> <span aria-hidden="true">→</span>
                  <span class="hidden"> to </span> <Moment ms={shard.lastTimeMs} />
                </p>
                <p>
                  Any revision of{' '}
                  {shard.restorable
                    .map(({ first, last }) => `${formatCount(first)}–${formatCount(last)}`)
                    .join(', ')}
                  .
                </p>
              </>
            )}
            {shard.gaps.length > 0 && (
              <p class="failure">
                No restore crosses the {counted(shard.gaps.length, 'gap')} at{' '}
                {shard.gaps.map(({ first, last }) => `${formatCount(first)}–${formatCount(last)}`).join(', ')}
                .
              </p>
            )}
            <p class="note">
              {counted(shard.baseCount, 'base')} and {counted(shard.logCount, 'log object')},{' '}
              {formatBytes(shard.sizeBytes)}
            </p>
            <pre>{commandOf(table, shard, index === 0)}</pre>
          </section>
        ))}
      </div>
    </Panel>
  );
}

function Moment({ ms }: { readonly ms: number | null }) {
  if (ms === null) return <b>not known</b>;
  return <time dateTime={new Date(ms).toISOString()}>{formatTime(ms)}</time>;
}

/** The command that brings it back beside what is there, which is the safe way to look. */
function commandOf(table: string, { shardId }: ArchiveAnswer['shards'][number], isNewest: boolean): string {
  const name = /^[\w.-]+$/.test(table) ? table : `'${table.replaceAll("'", "'\\''")}'`;
  return `coxswain restore --tables ${name}${isNewest ? '' : ` --shard ${shardId}`} --to-time TIME --into NEW-NAME`;
}
