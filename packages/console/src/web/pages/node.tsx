import { useState } from 'preact/hooks';
import type { CertificateRow, ConfigAnswer, DiskSection, MemberRow } from '../../api.js';
import { garbageDeed, pauseDeed, resumeDeed } from '../deeds.js';
import { formatBytes, formatDuration, formatFigure, formatPercent, formatTime } from '../format.js';
import { useKnown, useSeconds } from '../hooks.js';
import { get, sentence } from '../http.js';
import type { PageProps } from '../page.js';
import { field, type Line, Plot } from '../plot.js';
import { Callout, type Column, Empty, Figure, Meter, Panel, Rows, State, type Tone } from '../ui.js';
import { NoChanges } from './no-changes.js';
import { MemberState } from './overview.js';

const DAY_MS = 86_400_000;
/** From here on a certificate should be replaced, as the log says too. */
const SOON_MS = 30 * DAY_MS;
/** A disk with less left is shown as short of room. */
const SHORT_SHARE = 0.1;

const cpuLines: readonly Line[] = [
  { name: 'CPU', value: field('cpu', 100) },
  { name: 'event loop', value: field('busy', 100) },
];
const memoryLines: readonly Line[] = [
  { name: 'process', value: field('resident') },
  { name: 'JavaScript heap', value: field('heap') },
];
const fsyncLines: readonly Line[] = [
  { name: '50 %', value: field('fsync.p50') },
  { name: '99 %', value: field('fsync.p99') },
];
const syncLines: readonly Line[] = [{ name: 'syncs', value: field('fsyncs') }];
const trafficLines: readonly Line[] = [{ name: 'sent and received', value: field('peerBytes') }];
const logLines: readonly Line[] = [{ name: 'log', value: field('logBytes') }];

/** The node that is asked: its resources, disks, certificates and options; and what operators want of members. */
export function NodePage({ ask }: PageProps) {
  const node = useKnown((known) => known.node)!;
  const samples = useKnown((known) => known.samples);
  const nowMs = useSeconds();
  const percent = (value: number): string => `${formatFigure(value)} %`;
  return (
    <>
      <h1>{node.name}</h1>
      <NoChanges />
      <dl class="figures">
        <Figure name="Ready" value={node.isReady ? 'yes' : 'no'} tone={node.isReady ? 'good' : 'bad'} />
        <Figure name="Id" value={String(node.id)} />
        <Figure name="Version" value={node.version} />
        <Figure name="Up for" value={formatDuration(nowMs - node.startedMs)} />
      </dl>
      <div class="columns">
        <Panel title="Processor" note="share of one core">
          <Plot title="Processor" samples={samples} lines={cpuLines} format={percent} />
        </Panel>
        <Panel title="Memory">
          <Plot title="Memory" samples={samples} lines={memoryLines} format={formatBytes} isBytes />
        </Panel>
        <Panel title="Time of a sync" note="milliseconds until a write is on the disk">
          <Plot title="Time of a sync" samples={samples} lines={fsyncLines} format={formatFigure} />
        </Panel>
        <Panel title="Syncs each second" note="each makes all writes durable that wait for it">
          <Plot title="Syncs each second" samples={samples} lines={syncLines} format={formatFigure} />
        </Panel>
        <Panel title="Traffic between members" note="bytes each second">
          <Plot
            title="Traffic between members"
            samples={samples}
            lines={trafficLines}
            format={formatBytes}
            isBytes
          />
        </Panel>
        <Panel title="Log on disk" note="of all tables, with the space that it keeps ahead">
          <Plot title="Log on disk" samples={samples} lines={logLines} format={formatBytes} isBytes />
        </Panel>
      </div>
      <Disks />
      <Certificates />
      <Members ask={ask} />
      <Options />
    </>
  );
}

type Disk = DiskSection['disks'][number];

const diskColumns: readonly Column<Disk>[] = [
  { name: 'Disk', show: ({ disk }) => <code>{disk}</code> },
  { name: 'Holds', isMinor: true, show: ({ holds }) => holds.join(', ') },
  { name: 'Directory', isMinor: true, show: ({ directory }) => <code>{directory}</code> },
  {
    name: 'Left',
    isNumber: true,
    show: ({ freeBytes, totalBytes }) => (
      <>
        {formatBytes(freeBytes)} <span class="sub">of {formatBytes(totalBytes)}</span>
      </>
    ),
  },
  {
    name: 'Used',
    isNumber: true,
    show: ({ freeBytes, totalBytes }) => {
      const share = totalBytes === 0 ? 0 : 1 - freeBytes / totalBytes;
      return (
        <>
          {formatPercent(share)}
          <Meter
            label={`${formatPercent(share)} used`}
            share={share}
            tone={1 - share < SHORT_SHARE ? 'bad' : 'accent'}
          />
        </>
      );
    },
  },
];

function Disks() {
  const disk = useKnown((known) => known.disk);
  if (disk === undefined) return null;
  return (
    <Panel title="Disks" isFlush>
      {disk.isFull && (
        <Callout tone="bad">
          <b>Writes are refused until there is room.</b> {disk.shortage}
        </Callout>
      )}
      {disk.disks.length === 0 ? (
        <Empty>The disks were not looked at yet.</Empty>
      ) : (
        <Rows label="Disks" rows={disk.disks} columns={diskColumns} keyOf={({ disk: name }) => name} />
      )}
    </Panel>
  );
}

function Certificates() {
  const certificates = useKnown((known) => known.certificates);
  const nowMs = Date.now();
  const tone = (expiresMs: number): Tone =>
    expiresMs < nowMs ? 'bad' : expiresMs - nowMs < SOON_MS ? 'warn' : 'good';
  const columns: readonly Column<CertificateRow>[] = [
    { name: 'Listener or link', show: ({ listener }) => listener },
    { name: 'What', show: ({ kind }) => kind },
    {
      name: 'Valid until',
      isNumber: true,
      show: ({ expiresMs }) => (
        <>
          <State tone={tone(expiresMs)}>
            {expiresMs < nowMs ? 'expired' : `${formatDuration(expiresMs - nowMs)} left`}
          </State>
          <span class="sub">{formatTime(expiresMs)}</span>
        </>
      ),
    },
  ];
  return (
    <Panel title="Certificates" isFlush>
      {certificates.length === 0 ? (
        <Empty>No listener and no link of this node uses TLS.</Empty>
      ) : (
        <Rows
          label="Certificates"
          rows={certificates}
          columns={columns}
          keyOf={({ listener, kind }) => `${listener} ${kind}`}
        />
      )}
    </Panel>
  );
}

function Members({ ask }: Pick<PageProps, 'ask'>) {
  const members = useKnown((known) => known.members);
  const node = useKnown((known) => known.node)!;
  const isLeaderCluster = useKnown(({ cluster }) => cluster?.role !== 'follower');
  const mayAct = node.allows.changes && node.allows.maintenance;
  const columns: readonly Column<MemberRow>[] = [
    { name: 'Node', show: ({ name }) => name },
    { name: 'State', show: (member) => <MemberState member={member} /> },
    { name: 'Peers reach it at', isMinor: true, show: ({ raftAddress }) => <code>{raftAddress}</code> },
    {
      name: 'Clients reach it at',
      isMinor: true,
      show: ({ clientUrls }) => <code>{clientUrls.join(' ') || '–'}</code>,
    },
    {
      name: 'Replication',
      show: (member) =>
        member.state === 'online' ? (
          <button type="button" disabled={!mayAct} onClick={() => ask(pauseDeed(member, isLeaderCluster))}>
            Pause…
          </button>
        ) : (
          <button
            type="button"
            disabled={!mayAct || (member.state !== 'paused' && member.state !== 'pausing')}
            onClick={() => ask(resumeDeed(member, isLeaderCluster))}
          >
            Resume…
          </button>
        ),
    },
  ];
  return (
    <Panel
      title="Members"
      isFlush
      actions={
        <button type="button" disabled={!mayAct} onClick={() => ask(garbageDeed(node.name))}>
          Compact the logs of {node.name}…
        </button>
      }
    >
      <Rows label="Members" rows={members} columns={columns} keyOf={({ id }) => id} />
    </Panel>
  );
}

/** Every option with its value, once it is asked for. */
function Options() {
  const [options, setOptions] = useState<ConfigAnswer['options']>();
  const [failure, setFailure] = useState('');
  const [wanted, setWanted] = useState('');
  const read = async (): Promise<void> => {
    try {
      setOptions((await get<ConfigAnswer>('/config')).options);
    } catch (error) {
      setFailure(sentence(error));
    }
  };
  const shown = Object.entries(options ?? {}).filter(([name]) => name.includes(wanted));
  return (
    <Panel
      title="Options"
      isFlush
      actions={
        options === undefined ? (
          <button type="button" onClick={() => void read()}>
            Show
          </button>
        ) : (
          <input
            type="search"
            aria-label="Filter options by name"
            placeholder="Filter by name"
            value={wanted}
            onInput={(event) => setWanted(event.currentTarget.value)}
          />
        )
      }
    >
      {failure !== '' && <p class="failure">{failure}</p>}
      {options === undefined ? (
        <Empty>Every option of this node with its value; secrets are masked.</Empty>
      ) : (
        <div class="scroll">
          <table aria-label="Options">
            <thead>
              <tr>
                <th scope="col">Option</th>
                <th scope="col">Value</th>
              </tr>
            </thead>
            <tbody>
              {shown.map(([name, value]) => (
                <tr key={name}>
                  <th scope="row">
                    <code>{name}</code>
                  </th>
                  <td class="mono value">
                    {typeof value === 'object' ? JSON.stringify(value) : String(value)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
