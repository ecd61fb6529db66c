// Writes docs/metrics.md from what a node describes at a scrape; with --check it only says whether the page is current.
import { describeBackupAgent, describeMoco } from '../packages/server/dist/src/metrics/agent-metrics.js';
import { describeArchive } from '../packages/server/dist/src/metrics/archive-metrics.js';
import { describeCertificates } from '../packages/server/dist/src/metrics/certificate-metrics.js';
import { describeCompatible } from '../packages/server/dist/src/metrics/compatible-metrics.js';
import { describeDisks } from '../packages/server/dist/src/metrics/disk-metrics.js';
import { describeEvents } from '../packages/server/dist/src/metrics/event-metrics.js';
import { FailedHandshakes } from '../packages/server/dist/src/metrics/failed-handshakes.js';
import { GrpcMetrics } from '../packages/server/dist/src/metrics/grpc-metrics.js';
import { describeHeldMemory } from '../packages/server/dist/src/metrics/held-memory-metrics.js';
import { describeMaintenance } from '../packages/server/dist/src/metrics/maintenance-metrics.js';
import { describeMemoryLimits } from '../packages/server/dist/src/metrics/memory-limits.js';
import { MetricsPage } from '../packages/server/dist/src/metrics/metrics-page.js';
import { describeNodeMetrics } from '../packages/server/dist/src/metrics/node-metrics.js';
import { describeReplication } from '../packages/server/dist/src/metrics/replication-metrics.js';
import { OtlpExporter } from '../packages/server/dist/src/tracing/otlp-exporter.js';
import { generatedPage, markdownTable } from './generated-page.mjs';

// States with one of everything, so that each metric has a value with its labels. The values themselves are on no page.
const histogram = { bounds: [1], counts: [0, 0], sum: 0 };
const group = { leader: 0 };
const reports = {
  metrics: () => ({
    proposals: {},
    reads: {},
    walSyncSeconds: histogram,
    writeStages: { queue: histogram },
    clock: {},
  }),
  status: () => ({ meta: group, tables: [group], peers: [{}] }),
};
const follower = { status: () => ({ tables: [{ state: 'replicating' }] }) };
const leader = { followers: () => [{}] };

function describeGrpc() {
  const metrics = new GrpcMetrics();
  metrics.method('/regatta.v1.KV/Range', 'unary');
  return metrics.describe();
}

const groups = [
  {
    title: 'Node and Raft groups',
    text: 'Of every node. Metrics with the labels `shard_id` and `table` have one value for each table and one for the meta group.',
    metrics: describeNodeMetrics({ reports }, '', {}),
  },
  {
    title: 'Calls',
    text: 'Of every method of gRPC that the node serves, under the names that Regatta and the Go libraries of gRPC have.',
    metrics: describeGrpc(),
  },
  {
    title: "Names of etcd's",
    text: `Of every node, always: fifteen lines, whatever the number of tables. So dashboards and alerts for etcd work here. They are
names for figures that mean the same, of all Raft groups of the node together, since etcd has one. Not here are names whose
figure would mean something else: \`etcd_mvcc_put_total\` and its like count what a member applies and not what it is asked,
\`etcd_server_slow_apply_total\` has a limit of etcd's own, and no page of a file is left to be
\`etcd_mvcc_db_total_size_in_use_in_bytes\`. Regatta's own names, \`regatta_*\` and \`grpc_server_*\`, are in the other tables; of
its \`regatta_table_storage_*\` only the size has a meaning outside of Pebble.`,
    metrics: describeCompatible({ meta: group, tables: [] }, reports.metrics(), ''),
  },
  {
    title: 'Disks',
    text: 'Of every disk that holds a part of the data, as it is when the page is asked for.',
    metrics: describeDisks([{ disk: '', holds: new Set() }]),
  },
  {
    title: 'Memory of calls',
    text: '[Operations](operations.md#descriptors-memory-and-other-limits) has the limits.',
    metrics: describeHeldMemory({}),
  },
  {
    title: 'Traces',
    text: 'Of nodes with `tracing.endpoint`. [Operations](operations.md#traces) says what is traced.',
    metrics: [new OtlpExporter({ endpoint: '' }).describe()],
  },
  {
    title: 'Limits of memory',
    text: 'Of every node.',
    metrics: describeMemoryLimits(),
  },
  {
    title: 'Handshakes',
    text: 'Of every node; listeners without TLS stay at 0.',
    metrics: [new FailedHandshakes().describe()],
  },
  {
    title: 'Replication, on a leader cluster',
    text: 'Of the follower clusters that asked this node within five minutes, 1,000 pairs of table and follower at most.',
    metrics: describeReplication({ reports, cluster: { role: 'leader' } }, leader, undefined),
  },
  {
    title: 'Replication, on a follower cluster',
    text: 'Those of a table come from the node that replicates it.',
    metrics: describeReplication({ reports, cluster: { role: 'follower' } }, leader, follower),
  },
  {
    title: 'Backups and restores',
    text: 'Of every node.',
    metrics: describeMaintenance({}, {}),
  },
  {
    title: 'The archive',
    text: 'Of nodes with `archive.target`. [Backup and recovery](backup-and-recovery.md#before-anything-happens) says which are worth an alarm.',
    metrics: describeArchive({ tables: [{}], counters: {} }),
  },
  {
    title: 'The Xtrabackup agent',
    text: 'Of nodes with `backup-agent.address`.',
    metrics: describeBackupAgent({ status: {} }),
  },
  {
    title: "Clones and backups of the archive (moco-agent's services)",
    text: 'Of every node, and of those that it began itself.',
    metrics: describeMoco({}, {}),
  },
  {
    title: 'Certificates',
    text: 'Of nodes with TLS. [Operations](operations.md#certificates-tokens-and-reloading) says what the labels mean.',
    metrics: [describeCertificates([{ name: '', expiries: [{}] }])],
  },
  {
    title: 'Events',
    text: '[Events](events.md) lists all of them.',
    metrics: [describeEvents({ counts: new Map([[{}, 0]]) })],
  },
];

/** `le` belongs to every histogram. */
function labelsOf({ values }) {
  const names = new Set([...values].flatMap(({ labels }) => Object.keys(labels)));
  return [...names].filter((name) => name !== 'le').map((name) => `\`${name}\``);
}

/** What the process has of its own, read from the page that Prometheus gets. */
async function defaultMetrics() {
  const page = await new MetricsPage(async () => []).text();
  const metrics = [...page.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)];
  return metrics.map(([, name, help, type]) => [`\`${name}\``, type, help]);
}

/** prom-client has these on Linux alone, so that they must not decide whether the page is current elsewhere. */
const onLinux = ['process_virtual_memory_bytes', 'process_heap_bytes', 'process_open_fds', 'process_max_fds'];
const ofProcess = (await defaultMetrics()).filter(
  ([name]) => !onLinux.some((onlyThere) => name === `\`${onlyThere}\``),
);

const head = ['metric', 'type', 'labels', 'meaning'];
const sections = groups.map(({ title, text, metrics }) => {
  const rows = metrics.map((metric) => [
    `\`${metric.name}\``,
    metric.type,
    labelsOf(metric).join(', '),
    metric.help,
  ]);
  return `## ${title}\n\n${text}\n\n${markdownTable(head, rows)}`;
});

generatedPage(
  'docs/metrics.md',
  `# Metrics

Made by \`scripts/generate-metrics.mjs\` from the descriptions that a node gives to Prometheus. \`GET /metrics\` of the REST
listener (\`rest.address\`) has them, and so has the call \`regatta.v1.Metrics/GetMetrics\`. Names end with their unit; a
\`counter\` begins at 0 when the process starts. A scrape is written in slices of a millisecond, between which the node does
its other work, so one of a thousand tables holds up nothing. [Operations](operations.md) says what to do when one of them shows a
problem.

${sections.join('\n\n')}

## The process

Those of [prom-client](https://github.com/siimon/prom-client); on Linux also
${onLinux.map((name) => `\`${name}\``).join(', ')}. \`nodejs_eventloop_lag_*\` say how late the event loop came to
what was due, since the last scrape.

${markdownTable(['metric', 'type', 'meaning'], ofProcess)}
`,
);
