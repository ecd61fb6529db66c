// Writes deploy/grafana/dashboards/*.json; with --check it only says whether they are current. Each panel is a title, a
// unit and queries here, and forty lines there.
import { generatedPage } from './generated-page.mjs';

const source = { type: 'prometheus', uid: '$datasource' };
/** The series that a dashboard shows: those of the CHOSEN clusters and nodes. */
const CHOSEN = 'job=~"$job",instance=~"$instance"';
const ofTable = `${CHOSEN},table=~"$table"`;
const WIDTH = 24;
const DESCRIPTION_OF_LEGEND = { displayMode: 'list', placement: 'bottom', showLegend: true };

/** A query, and how Grafana names its series. */
const query = (expr, legendFormat = '{{instance}}') => ({ expr, legendFormat });

/** A plot over time, half as wide as the page unless it says otherwise. */
const plot = (title, unit, queries, more = {}) => ({
  kind: 'timeseries',
  title,
  unit,
  queries,
  w: 12,
  h: 8,
  ...more,
});
/** A figure as of now; it is red from `bad` on, and green below, or the other way round with `isBadBelow`. */
const stat = (title, unit, expr, more = {}) => ({
  kind: 'stat',
  title,
  unit,
  queries: [query(expr, '')],
  w: 4,
  h: 4,
  ...more,
});
const row = (title) => ({ kind: 'row', title, w: WIDTH, h: 1 });
/** A table of the latest values. */
const list = (title, unit, queries, more = {}) => ({
  kind: 'table',
  title,
  unit,
  queries,
  w: 12,
  h: 9,
  ...more,
});

const quantiles = (metric, labels, by = '') =>
  [0.5, 0.99].map((quantile) =>
    query(
      `histogram_quantile(${quantile}, sum by (le${by && `, ${by}`}) (rate(${metric}_bucket{${labels}}[$__rate_interval])))`,
      `${by && `{{${by}}} `}p${quantile * 100}`,
    ),
  );
const perSecond = (metric, by = 'instance', labels = CHOSEN) =>
  query(`sum by (${by}) (rate(${metric}{${labels}}[$__rate_interval]))`, `{{${by}}}`);

const dashboards = {
  overview: {
    title: 'Coxswain: overview of a cluster',
    panels: [
      stat('Nodes that answer', 'none', `count(coxswain_build_info{${CHOSEN}})`),
      stat('Nodes that are not ready', 'none', `count(coxswain_ready{${CHOSEN}} == 0) or vector(0)`, {
        bad: 1,
      }),
      stat(
        'Groups without a leader',
        'none',
        `count(max by (job, shard_id) (coxswain_has_leader{${CHOSEN}}) == 0) or vector(0)`,
        { bad: 1 },
      ),
      stat(
        'Members that the worst node misses',
        'none',
        `max(coxswain_members{${CHOSEN}} - coxswain_members_heard{${CHOSEN}})`,
        {
          bad: 1,
        },
      ),
      stat(
        'Fullest disk',
        'percentunit',
        `max(1 - coxswain_disk_free_bytes{${CHOSEN}} / coxswain_disk_size_bytes{${CHOSEN}})`,
        {
          bad: 0.85,
        },
      ),
      stat('First certificate to end', 's', `min(coxswain_certificate_expiry_seconds{${CHOSEN}})`, {
        bad: 14 * 86_400,
        isBadBelow: true,
      }),
      row('Requests'),
      plot('Calls by method', 'reqps', [perSecond('grpc_server_handled_total', 'grpc_method')]),
      plot('Calls that did not succeed, by code', 'reqps', [
        perSecond('grpc_server_handled_total', 'grpc_code', `${CHOSEN},grpc_code!="OK"`),
      ]),
      plot('Time of Put', 's', quantiles('grpc_server_handling_seconds', `${CHOSEN},grpc_method="Put"`)),
      plot('Time of Range', 's', quantiles('grpc_server_handling_seconds', `${CHOSEN},grpc_method="Range"`)),
      plot('Calls of 1 s or longer', 'short', [
        query(
          `sum by (grpc_method) (increase(coxswain_slow_requests_total{${CHOSEN}}[$__rate_interval])) > 0`,
          '{{grpc_method}}',
        ),
      ]),
      plot('Reads by kind', 'reqps', [perSecond('coxswain_reads_total', 'kind')]),
      row('Writes'),
      plot('Proposals applied', 'ops', [perSecond('coxswain_proposals_applied_total')]),
      plot('Proposals that were refused, or whose outcome is unknown', 'ops', [
        query(
          `sum by (instance) (rate(coxswain_proposals_refused_total{${CHOSEN}}[$__rate_interval]))`,
          '{{instance}} refused',
        ),
        query(
          `sum by (instance) (rate(coxswain_proposals_outcome_unknown_total{${CHOSEN}}[$__rate_interval]))`,
          '{{instance}} unknown',
        ),
      ]),
      plot('Proposals under way', 'none', [query(`coxswain_proposals_pending{${CHOSEN}}`)]),
      plot(
        'Mean time of a write by stage',
        's',
        [
          query(
            `sum by (stage) (rate(coxswain_write_stage_seconds_sum{${CHOSEN}}[$__rate_interval])) / sum by (stage) (rate(coxswain_write_stage_seconds_count{${CHOSEN}}[$__rate_interval]))`,
            '{{stage}}',
          ),
        ],
        { isStacked: true },
      ),
      plot('99th percentile of each stage', 's', [
        query(
          `histogram_quantile(0.99, sum by (le, stage) (rate(coxswain_write_stage_seconds_bucket{${CHOSEN}}[$__rate_interval])))`,
          '{{stage}}',
        ),
      ]),
      plot('Sync of the log, 99th percentile', 's', [
        query(
          `histogram_quantile(0.99, sum by (le, instance) (rate(coxswain_wal_sync_seconds_bucket{${CHOSEN}}[$__rate_interval])))`,
        ),
      ]),
      row('Members'),
      plot('Changes of leaders', 'short', [
        query(`increase(coxswain_leader_changes_total{${CHOSEN}}[$__rate_interval])`),
      ]),
      plot('Groups that each node leads', 'none', [
        query(`sum by (instance) (coxswain_is_leader{${CHOSEN}})`),
      ]),
      plot('Members heard', 'none', [query(`coxswain_members_heard{${CHOSEN}}`)]),
      plot('Clock ahead of the others', 's', [query(`coxswain_clock_ahead_seconds{${CHOSEN}}`)]),
    ],
  },
  tables: {
    title: 'Coxswain: tables',
    hasTables: true,
    panels: [
      list('Size on disk', 'bytes', [
        query(`topk(50, max by (table) (coxswain_table_size_bytes{${ofTable}}))`, '{{table}}'),
      ]),
      list('Who leads', 'none', [query(`coxswain_is_leader{${ofTable}} == 1`, '{{table}}')]),
      plot('Writes', 'ops', [
        query(
          `topk(20, max by (table) (rate(coxswain_commit_index{${ofTable}}[$__rate_interval])))`,
          '{{table}}',
        ),
      ]),
      plot('Growth on disk', 'binBps', [
        query(`topk(20, max by (table) (deriv(coxswain_table_size_bytes{${ofTable}}[10m])))`, '{{table}}'),
      ]),
      plot('Revision', 'none', [
        query(`topk(20, max by (table) (coxswain_revision{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Entries that are committed and not applied', 'none', [
        query(
          `topk(20, coxswain_commit_index{${ofTable}} - on (job, instance, table, shard_id) regatta_applied_index{${ofTable}})`,
          '{{table}} {{instance}}',
        ),
      ]),
      plot('Log in the write-ahead log', 'bytes', [
        query(`topk(20, max by (table) (coxswain_log_size_bytes{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Term', 'none', [query(`topk(20, max by (table) (coxswain_raft_term{${ofTable}}))`, '{{table}}')]),
      list('Without a leader', 'none', [
        query(`max by (table) (coxswain_has_leader{${ofTable}}) == 0`, '{{table}}'),
      ]),
      list('Stopped by an error', 'none', [
        query(`coxswain_group_failed{${ofTable}} == 1`, '{{table}} {{instance}}'),
      ]),
    ],
  },
  replication: {
    title: 'Coxswain: replication between clusters',
    hasTables: true,
    panels: [
      row('Follower cluster'),
      stat('Leader cluster reached by', 'none', `sum(coxswain_replication_leader_reached{${CHOSEN}})`, {
        bad: 1,
        isBadBelow: true,
      }),
      stat('Nodes where somebody must act', 'none', `sum(coxswain_replication_broken{${CHOSEN}})`, {
        bad: 1,
      }),
      stat('Tables that are stopped', 'none', `sum(coxswain_replication_stopped{${ofTable}})`, { bad: 1 }),
      stat('Longest lag', 's', `max(min by (table) (coxswain_replication_lag_seconds{${ofTable}}))`, {
        bad: 60,
      }),
      plot('Lag in time', 's', [
        query(`topk(20, min by (table) (coxswain_replication_lag_seconds{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Lag in entries', 'none', [
        query(`topk(20, min by (table) (coxswain_replication_lag_entries{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Commands applied', 'ops', [perSecond('coxswain_replication_commands_total')]),
      plot('Bytes received', 'binBps', [perSecond('coxswain_replication_received_bytes_total')]),
      plot('Tables that were copied anew', 'short', [
        query(`increase(coxswain_replication_snapshots_total{${CHOSEN}}[$__rate_interval])`),
      ]),
      list('Node that replicates', 'none', [
        query(`regatta_replication_leased{${ofTable}} == 1`, '{{table}}'),
      ]),
      row('Leader cluster'),
      plot('Entries that followers lack', 'none', [
        query(
          `topk(20, max by (table, follower) (coxswain_follower_lag_entries{${ofTable}}))`,
          '{{table}} {{follower}}',
        ),
      ]),
      plot('Index', 'none', [
        query(`topk(20, max by (table, role) (regatta_replication_index{${ofTable}}))`, '{{table}} {{role}}'),
      ]),
    ],
  },
  archive: {
    title: 'Coxswain: archive and backups',
    hasTables: true,
    panels: [
      stat('Tables that cannot be archived', 'none', `sum(coxswain_archive_failing{${ofTable}})`, { bad: 1 }),
      stat('Gaps', 'none', `sum(coxswain_archive_gaps{${ofTable}})`, { bad: 1 }),
      stat(
        'Backlog, of its limit',
        'percentunit',
        `max(coxswain_archive_backlog_bytes{${CHOSEN}} / coxswain_archive_backlog_bytes_max{${CHOSEN}})`,
        {
          bad: 0.5,
        },
      ),
      stat('Oldest entry that waits', 's', `max(coxswain_archive_table_backlog_seconds{${ofTable}})`, {
        bad: 300,
      }),
      stat('Backups under way', 'none', `sum(coxswain_backups_under_way{${CHOSEN}})`),
      stat('Restores under way', 'none', `sum(coxswain_restores_under_way{${CHOSEN}})`),
      row('Archive'),
      plot('Backlog of each node', 'bytes', [query(`coxswain_archive_backlog_bytes{${CHOSEN}}`)]),
      plot('Backlog of each table', 'bytes', [
        query(`topk(20, max by (table) (coxswain_archive_table_backlog_bytes{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Time that the oldest entry has waited', 's', [
        query(`topk(20, max by (table) (coxswain_archive_table_backlog_seconds{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Last entry that is archived', 'none', [
        query(`topk(20, max by (table) (coxswain_archive_archived_index{${ofTable}}))`, '{{table}}'),
      ]),
      plot('Bytes stored', 'binBps', [perSecond('coxswain_archive_log_bytes_total')]),
      plot('Objects stored, bases stored, objects removed', 'short', [
        query(
          `sum(increase(coxswain_archive_log_objects_total{${CHOSEN}}[$__rate_interval]))`,
          'log objects',
        ),
        query(`sum(increase(coxswain_archive_bases_total{${CHOSEN}}[$__rate_interval]))`, 'bases'),
        query(`sum(increase(coxswain_archive_pruned_total{${CHOSEN}}[$__rate_interval]))`, 'removed'),
      ]),
      plot('Attempts that failed', 'short', [
        query(`increase(coxswain_archive_errors_total{${CHOSEN}}[$__rate_interval])`),
      ]),
      row('Backups and restores'),
      plot('Backups by outcome', 'short', [
        query(
          `sum by (outcome) (increase(coxswain_backups_total{${CHOSEN}}[$__rate_interval]))`,
          '{{outcome}}',
        ),
      ]),
      plot('Bytes of backups', 'binBps', [perSecond('coxswain_backup_bytes_total')]),
      plot('Restores by outcome', 'short', [
        query(
          `sum by (outcome) (increase(coxswain_restores_total{${CHOSEN}}[$__rate_interval]))`,
          '{{outcome}}',
        ),
      ]),
      plot('Bytes of restores', 'binBps', [perSecond('coxswain_restore_bytes_total')]),
    ],
  },
  node: {
    title: 'Coxswain: node and process',
    panels: [
      list('Releases', 'none', [query(`coxswain_build_info{${CHOSEN}}`, '{{instance}} {{version}}')], {
        h: 6,
      }),
      list(
        'Certificates',
        's',
        [query(`coxswain_certificate_expiry_seconds{${CHOSEN}}`, '{{instance}} {{listener}} {{kind}}')],
        {
          h: 6,
        },
      ),
      row('Process'),
      plot('CPU', 'percentunit', [query(`rate(process_cpu_seconds_total{${CHOSEN}}[$__rate_interval])`)]),
      plot('Lag of the event loop', 's', [
        query(`nodejs_eventloop_lag_p99_seconds{${CHOSEN}}`, '{{instance}} p99'),
        query(`nodejs_eventloop_lag_max_seconds{${CHOSEN}}`, '{{instance}} longest'),
      ]),
      plot('Memory', 'bytes', [
        query(`process_resident_memory_bytes{${CHOSEN}}`, '{{instance}} resident'),
        query(`nodejs_heap_size_used_bytes{${CHOSEN}}`, '{{instance}} heap'),
        query(`nodejs_external_memory_bytes{${CHOSEN}}`, '{{instance}} external'),
      ]),
      plot('Memory, of its limit', 'percentunit', [
        query(
          `process_resident_memory_bytes{${CHOSEN}} / coxswain_memory_limit_bytes{${CHOSEN}}`,
          '{{instance}} resident',
        ),
        query(
          `nodejs_heap_size_used_bytes{${CHOSEN}} / coxswain_heap_limit_bytes{${CHOSEN}}`,
          '{{instance}} heap',
        ),
      ]),
      plot('Garbage collection', 'percentunit', [
        query(
          `sum by (instance, kind) (rate(nodejs_gc_duration_seconds_sum{${CHOSEN}}[$__rate_interval]))`,
          '{{instance}} {{kind}}',
        ),
      ]),
      plot('Descriptors', 'none', [
        query(`process_open_fds{${CHOSEN}}`),
        query(`process_max_fds{${CHOSEN}}`, '{{instance}} limit'),
      ]),
      plot('Memory that calls hold', 'bytes', [
        query(`coxswain_calls_held_bytes{${CHOSEN}}`, '{{instance}} all'),
        query(`coxswain_calls_unsent_bytes{${CHOSEN}}`, '{{instance}} answers'),
      ]),
      plot('Calls that wait for memory, and that were given up', 'short', [
        query(`coxswain_calls_waiting{${CHOSEN}}`, '{{instance}} wait'),
        query(
          `increase(coxswain_calls_given_up_total{${CHOSEN}}[$__rate_interval])`,
          '{{instance}} given up',
        ),
      ]),
      row('Disk'),
      plot('Free', 'bytes', [query(`coxswain_disk_free_bytes{${CHOSEN}}`, '{{instance}} {{disk}}')]),
      plot('Written to the log', 'binBps', [perSecond('coxswain_wal_written_bytes_total')]),
      plot('Syncs of the log', 'ops', [perSecond('coxswain_wal_syncs_total')]),
      plot('Syncs that took longer than 1 s', 'short', [
        query(`increase(coxswain_wal_slow_syncs_total{${CHOSEN}}[$__rate_interval])`),
      ]),
      row('Network'),
      plot('Bytes to and from other members', 'binBps', [
        query(`rate(coxswain_peer_sent_bytes_total{${CHOSEN}}[$__rate_interval])`, '{{instance}} sent'),
        query(
          `rate(coxswain_peer_received_bytes_total{${CHOSEN}}[$__rate_interval])`,
          '{{instance}} received',
        ),
      ]),
      plot('Connections to other members', 'none', [
        query(`sum by (instance) (coxswain_peer_connected{${CHOSEN}})`),
      ]),
      plot('Handshakes that failed', 'short', [
        query(
          `increase(coxswain_handshakes_failed_total{${CHOSEN}}[$__rate_interval]) > 0`,
          '{{instance}} {{listener}}',
        ),
      ]),
      plot('Snapshots between members', 'short', [
        query(`increase(coxswain_snapshots_sent_total{${CHOSEN}}[$__rate_interval])`, '{{instance}} sent'),
        query(
          `increase(coxswain_snapshots_received_total{${CHOSEN}}[$__rate_interval])`,
          '{{instance}} received',
        ),
      ]),
    ],
  },
};

function thresholdsOf({ bad, isBadBelow }) {
  if (bad === undefined) return { mode: 'absolute', steps: [{ color: 'blue', value: null }] };
  const [first, second] = isBadBelow ? ['red', 'green'] : ['green', 'red'];
  return {
    mode: 'absolute',
    steps: [
      { color: first, value: null },
      { color: second, value: bad },
    ],
  };
}

function toPanel(panel, id, gridPos) {
  const { kind, title, unit, queries, isStacked } = panel;
  if (kind === 'row') return { id, type: 'row', title, collapsed: false, gridPos, panels: [] };
  const isNow = kind !== 'timeseries';
  const targets = queries.map((each, index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: source,
    expr: each.expr,
    legendFormat: each.legendFormat,
    instant: isNow,
    range: !isNow,
    ...(kind === 'table' && { format: 'table' }),
  }));
  const custom = isStacked
    ? { fillOpacity: 30, stacking: { mode: 'normal', group: 'A' } }
    : { fillOpacity: 5 };
  const options = {
    stat: { colorMode: 'value', reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } },
    timeseries: {
      legend: DESCRIPTION_OF_LEGEND,
      tooltip: { mode: 'multi', sort: 'desc' },
    },
    table: { showHeader: true },
  };
  return {
    id,
    type: kind,
    title,
    datasource: source,
    gridPos,
    fieldConfig: {
      defaults: {
        unit,
        ...(kind === 'timeseries'
          ? { custom, min: unit === 's' && title.startsWith('Clock') ? undefined : 0 }
          : {}),
        ...(kind === 'stat' && { thresholds: thresholdsOf(panel) }),
      },
      overrides: [],
    },
    options: options[kind],
    ...(kind === 'table' && {
      transformations: [{ id: 'organize', options: { excludeByName: { Time: true, __name__: true } } }],
    }),
    targets,
  };
}

/** Puts the panels into rows from left to right. */
function arrange(panels) {
  let x = 0;
  let y = 0;
  let rowHeight = 0;
  return panels.map((panel, index) => {
    const { w, h } = panel;
    if (x + w > WIDTH) {
      x = 0;
      y += rowHeight;
      rowHeight = 0;
    }
    const gridPos = { x, y, w, h };
    x += w;
    rowHeight = Math.max(rowHeight, h);
    return toPanel(panel, index + 1, gridPos);
  });
}

function variable(name, label, metric, filter) {
  const definition = `label_values(${metric}${filter}, ${name})`;
  return {
    name,
    label,
    type: 'query',
    datasource: source,
    definition,
    query: { query: definition, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'] },
  };
}

function toDashboard(name, { title, panels, hasTables }) {
  const variables = [
    {
      name: 'datasource',
      label: 'Prometheus',
      type: 'datasource',
      query: 'prometheus',
      current: {},
      hide: 0,
    },
    variable('job', 'Cluster', 'coxswain_build_info', ''),
    variable('instance', 'Node', 'coxswain_build_info', '{job=~"$job"}'),
    ...(hasTables ? [variable('table', 'Table', 'coxswain_is_leader', '{job=~"$job"}')] : []),
  ];
  return {
    uid: `coxswain-${name}`,
    title,
    tags: ['coxswain'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    time: { from: 'now-1h', to: 'now' },
    refresh: '10s',
    timezone: 'browser',
    links: [
      {
        type: 'dashboards',
        title: 'Coxswain',
        tags: ['coxswain'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
      },
    ],
    annotations: { list: [] },
    templating: { list: variables },
    panels: arrange(panels),
  };
}

for (const [name, dashboard] of Object.entries(dashboards)) {
  generatedPage(
    `deploy/grafana/dashboards/${name}.json`,
    `${JSON.stringify(toDashboard(name, dashboard), undefined, 2)}\n`,
  );
}
