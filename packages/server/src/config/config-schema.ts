import { defaultNodeOptions } from '@coxswain/node';
import { defaultFollowerOptions } from '@coxswain/replication';

/** The kind of an option decides how its text becomes its value. */
type OptionKind =
  | 'text'
  | 'choice'
  | 'secret'
  | 'boolean'
  | 'number'
  | 'ratio'
  | 'durationMs'
  | 'sizeBytes'
  | 'tableNames'
  | 'members'
  | 'address';

/** The declaration of an option whose value is a `Value`. `--help` and docs/configuration.md are made from it. */
interface Definition<Value> {
  readonly kind: OptionKind;
  readonly default: Value;
  /** The description in whole sentences. For an option without effect it is the reason, which is also logged. */
  readonly description: string;
  /** One word that stands for the value of a text in `--help`: `file`, `host:port`. */
  readonly placeholder?: string;
  /** The things that a number counts, in the plural: `entries`. */
  readonly unit?: string;
  /** The effect of an empty text, list or secret, such as the option whose value is used instead. */
  readonly whenEmpty?: string;
  /** The meaning of 0 for a number, duration or size, when it does not mean zero. */
  readonly whenZero?: string;
  /** The least accepted value of a number, duration or size, or the least id of members. */
  readonly minimum?: number;
  /** All accepted values of a choice. */
  readonly choices?: readonly string[];
  /** The kind of cluster whose nodes use the option; nodes of the other kind log once that it has no effect. */
  readonly onlyFor?: 'leader' | 'follower';
  /** True for names of Regatta's that have no effect here: they are accepted, and a log line says so once. */
  readonly isMeaningless?: true;
  /** True for names that Regatta does not have. In the environment they are only read with the prefix COXSWAIN_. */
  readonly isOwn?: true;
}

/** Declares a text that is empty by default. */
const text = (placeholder: string, whenEmpty: string, description: string): Definition<string> => ({
  kind: 'text',
  default: '',
  placeholder,
  whenEmpty,
  description,
});

const textWithDefault = (value: string, placeholder: string, description: string): Definition<string> => ({
  kind: 'text',
  default: value,
  placeholder,
  description,
});

const choice = <const Choice extends string>(
  choices: readonly Choice[],
  value: NoInfer<Choice>,
  description: string,
): Definition<Choice> => ({ kind: 'choice', default: value, choices, description });

/** Declares a secret, which is shown as `**********` and can be read from a file (see `loadConfig`). */
const secret = (whenEmpty: string, description: string): Definition<string> => ({
  kind: 'secret',
  default: '',
  whenEmpty,
  description,
});

const boolean = (value: boolean, description: string): Definition<boolean> => ({
  kind: 'boolean',
  default: value,
  description,
});

/** Declares a part of a whole, from 0 to 1. */
const ratio = (value: number, description: string): Definition<number> => ({
  kind: 'ratio',
  default: value,
  description,
});

/** The limits of a number, duration or size. The least value is 0 unless one is given. */
interface Limits {
  readonly unit?: string;
  readonly minimum?: number;
  readonly whenZero?: string;
}

const number = (value: number, description: string, limits: Limits = {}): Definition<number> => ({
  kind: 'number',
  default: value,
  minimum: 0,
  description,
  ...limits,
});

const durationMs = (value: number, description: string, limits: Limits = {}): Definition<number> => ({
  kind: 'durationMs',
  default: value,
  minimum: 0,
  description,
  ...limits,
});

const sizeBytes = (value: number, description: string, limits: Limits = {}): Definition<number> => ({
  kind: 'sizeBytes',
  default: value,
  minimum: 0,
  description,
  ...limits,
});

const tableNames = (description: string): Definition<readonly string[]> => ({
  kind: 'tableNames',
  default: [],
  whenEmpty: 'none',
  description,
});

const members = (
  minimum: number,
  whenEmpty: string,
  description: string,
): Definition<Readonly<Record<string, string>>> => ({
  kind: 'members',
  default: {},
  minimum,
  whenEmpty,
  description,
});

const address = (value: string, description: string): Definition<string> => ({
  kind: 'address',
  default: value,
  description,
});

const onlyFor = <Value>(role: 'leader' | 'follower', definition: Definition<Value>): Definition<Value> => ({
  ...definition,
  onlyFor: role,
});

const own = <Value>(definition: Definition<Value>): Definition<Value> => ({ ...definition, isOwn: true });

const meaningless = (reason: string): Definition<string> => ({
  kind: 'text',
  default: '',
  description: reason,
  isMeaningless: true,
});

const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * Every option of a node, declared once: flags, environment variables and the configuration file have the same names
 * (docs/protocol.md §5). Defaults are Regatta's, except that every listener binds the loopback address.
 */
const definitions = {
  'data-dir': own(
    text(
      'directory',
      'raft.node-host-dir, else ./coxswain-data',
      'Directory in which the node keeps its identity, its log and its tables. One process at a time can use it.',
    ),
  ),

  'api.address': address(
    'http://127.0.0.1:8443',
    'URL at which the API listens. The schemes https and unixs ask for TLS.',
  ),
  'api.advertise-address': text(
    'url',
    'api.address',
    'URL of this node that Cluster.MemberList gives to clients.',
  ),
  'api.cert-filename': text(
    'file',
    'none',
    'Certificate that the API listener shows, in PEM. Needed for https and unixs.',
  ),
  'api.key-filename': text('file', 'none', 'Private key of api.cert-filename, in PEM.'),
  'api.ca-filename': text('file', 'none', 'Authorities that must have signed client certificates, in PEM.'),
  'api.client-cert-auth': boolean(
    false,
    'Refuse clients that do not show a certificate signed by an authority in api.ca-filename.',
  ),
  'api.allowed-cn': text(
    'name',
    'any',
    'Only common name that a client certificate may have; clients without a certificate are refused then.',
  ),
  'api.allowed-hostname': text(
    'name',
    'any',
    'Only host name that a client certificate may be for; clients without a certificate are refused then.',
  ),
  'api.max-concurrent-connections': number(0, 'Connections that the API listener holds at a time.', {
    unit: 'connections',
    whenZero: 'no limit',
  }),
  'api.max-concurrent-streams': number(
    0,
    'Calls that one connection to the API listener may have under way.',
    { unit: 'calls', whenZero: 'no limit' },
  ),

  'rest.address': address(
    'http://127.0.0.1:8079',
    'URL of the HTTP listener for the console, /metrics, /healthz, /readyz and the HTTP API of TiDB-Binlog, which can pause and close nodes. The schemes https and unixs ask for TLS.',
  ),
  'rest.cert-filename': own(
    text('file', 'none', 'Certificate that the HTTP listener shows, in PEM. Needed for https and unixs.'),
  ),
  'rest.key-filename': own(text('file', 'none', 'Private key of rest.cert-filename, in PEM.')),
  'rest.ca-filename': own(
    text('file', 'none', 'Authorities that must have signed client certificates, in PEM.'),
  ),
  'rest.client-cert-auth': own(
    boolean(
      false,
      'Refuse clients that do not show a certificate signed by an authority in rest.ca-filename; those of /metrics and of probes too.',
    ),
  ),
  'rest.token': own(
    secret(
      'anyone may ask',
      'Token that requests to the HTTP listener must present, those for /metrics too. /healthz, /livez and /readyz never need one; PUT /state and /debug need maintenance.token instead where that is set.',
    ),
  ),
  'rest.console-token': own(
    secret(
      'rest.token, else maintenance.token',
      'Token that the console asks for. Where none of them is set the console shows everything to whoever reaches it, and changes nothing.',
    ),
  ),
  'rest.host-names': own(
    text(
      'names',
      'those of this node in other options',
      'Names, separated by commas, by which browsers may reach the console beside addresses, localhost and the name of the machine. Its API refuses others, so that no other site can make a name of its own lead here.',
    ),
  ),
  'rest.read-timeout': durationMs(
    5_000,
    'Time within which a client of the HTTP listener must send a request.',
  ),

  'raft.address': textWithDefault(
    '127.0.0.1:5012',
    'host:port',
    'Address at which the other nodes of the cluster reach this one.',
  ),
  'raft.listen-address': text('host:port', 'raft.address', 'Address that the Raft listener binds.'),
  'raft.node-id': number(1, 'Number of this node. It is unique in the cluster and never used again.', {
    minimum: 1,
  }),
  'raft.initial-members': members(
    1,
    'this node alone',
    'Every node that forms the cluster, with its raft.address; the same on all of them.',
  ),
  'raft.rtt': durationMs(
    defaultNodeOptions.tickMs,
    'Unit of time of Raft, at least the round trip between two nodes.',
    { minimum: 1 },
  ),
  'raft.heartbeat-rtt': number(
    defaultNodeOptions.heartbeatTicks,
    'Interval between heartbeats of a leader.',
    { unit: 'times raft.rtt', minimum: 1 },
  ),
  'raft.election-rtt': number(
    defaultNodeOptions.electionTicks,
    'Election timeout: the time without a heartbeat after which a node stands for election. It must exceed raft.heartbeat-rtt, best ten times.',
    { unit: 'times raft.rtt', minimum: 2 },
  ),
  'raft.snapshot-entries': number(
    defaultNodeOptions.snapshotEntries,
    "Entries of a table's log after which its older part is removed. A busy table may wait for up to five times as many.",
    { unit: 'entries', minimum: 1 },
  ),
  'raft.compaction-overhead': number(
    defaultNodeOptions.compactionOverheadEntries,
    'Entries that stay in the log of a table when its older part is removed, so that nodes and follower clusters which lag need no snapshot.',
    { unit: 'entries' },
  ),
  'raft.cert-filename': own(
    text(
      'file',
      'no TLS between nodes',
      'Certificate of this node for mutual TLS between the nodes, in PEM. Set with raft.key-filename and raft.ca-filename, or not at all.',
    ),
  ),
  'raft.key-filename': own(text('file', 'none', 'Private key of raft.cert-filename, in PEM.')),
  'raft.ca-filename': own(
    text('file', 'none', "Authorities that must have signed the other nodes' certificates, in PEM."),
  ),
  'raft.wal-dir': text('directory', 'wal/ in the data directory', 'Directory for the write-ahead log.'),
  'raft.wal-segment-size': own(
    sizeBytes(
      defaultNodeOptions.walSegmentSizeBytes,
      'Size of one file of the write-ahead log.',
      // A segment must hold the largest entry, which a request of 4 MiB makes, with room to spare (P4).
      { minimum: 16 * MIB },
    ),
  ),
  'raft.node-host-dir': text(
    'directory',
    'none',
    "Regatta's name for data-dir, which wins where both are set.",
  ),
  'raft.state-machine-dir': text('directory', 'tables/ in the data directory', 'Directory for the tables.'),

  'storage.block-cache-size': sizeBytes(
    defaultNodeOptions.storeCacheBytes,
    'Memory for blocks that LevelDB has read: all of it for the first table that is opened, and in addition a smaller part for each later one.',
  ),
  'storage.page-cache-size': own(
    sizeBytes(
      defaultNodeOptions.pageCacheBytes,
      'Memory for pages of all tables together, from which ranges are answered.',
      { whenZero: 'no pages' },
    ),
  ),
  'storage.write-buffer-size': own(
    sizeBytes(
      defaultNodeOptions.storeWriteBufferBytes,
      'Memory for writes of one table that are not in its files yet. One half is flushed while the other is filled.',
      { minimum: 64 * KIB },
    ),
  ),
  'storage.write-memory-size': own(
    sizeBytes(
      defaultNodeOptions.writeMemoryBytes,
      'Memory for such writes of all tables together. When it is used up, the table that holds most is flushed.',
      { minimum: MIB },
    ),
  ),
  'storage.open-tables': own(
    number(0, 'Tables whose files are open at a time, the ones used last.', {
      unit: 'tables',
      whenZero: 'an eighth of the descriptors that the process may have, from 8 to 2000',
    }),
  ),
  'storage.history-retention': own(
    durationMs(
      defaultNodeOptions.historyRetentionMs,
      'Time for which superseded and deleted versions of a key can be read.',
    ),
  ),

  'memberlist.node-name': text('name', 'node-<raft.node-id>', 'Name of this node.'),
  'memberlist.cluster-name': text('name', "the cluster's id", 'Name of the cluster.'),

  'tables.enabled': boolean(true, 'Serve regatta.v1.Tables, which creates and deletes tables.'),
  'tables.token': secret('anyone may call', 'Token that callers of regatta.v1.Tables must present.'),
  'tables.names': onlyFor('leader', tableNames('Tables that the cluster makes at its first start.')),

  'maintenance.enabled': boolean(
    true,
    'Serve maintenance.v1 (backup, restore, reset, promote), coxswain.v1.Events and, on the HTTP listener, PUT /state and /debug.',
  ),
  'maintenance.token': secret(
    'anyone may call',
    'Token that callers of maintenance.v1 and coxswain.v1.Events, and of PUT /state and /debug of the HTTP listener, must present. It is the password of the backup agent too.',
  ),
  'maintenance.backup-bytes-per-second': own(
    sizeBytes(
      0,
      'Compressed bytes a second that this node sends for backups and stores as bases of the archive, all together.',
      { whenZero: 'no limit' },
    ),
  ),
  'maintenance.restore-bytes-per-second': own(
    sizeBytes(0, 'Compressed bytes a second that this node takes for restores, all together.', {
      whenZero: 'no limit',
    }),
  ),

  'clone.address': own(
    text(
      'host:port',
      'none',
      'API or replication listener of the cluster from which a call of Clone with external=true copies; https:// before it for TLS.',
    ),
  ),
  'clone.token': own(
    secret('none', 'Maintenance token of the donor, needed where clone.address is its API listener.'),
  ),
  'clone.ca-filename': own(
    text(
      'file',
      "the system's authorities",
      "Authorities that must have signed donors' certificates, in PEM. Donors are reached over TLS then.",
    ),
  ),

  'backup-agent.address': own(
    text(
      'host:port',
      'no listener',
      'Address of the listener for the Xtrabackup agent protocol, which has no TLS. Without a host it is on 127.0.0.1.',
    ),
  ),

  'wolf.address': own(
    text(
      'host:port',
      'no listener',
      'Address of the wolf.raft listener, at which the other members reach this node. It has no TLS: whoever reaches it can change the table.',
    ),
  ),
  'wolf.members': own(
    onlyFor(
      'leader',
      members(
        0,
        'this node alone, as 0',
        'Every member of the wolf.raft group with its wolf.address; the same on all of them.',
      ),
    ),
  ),
  'wolf.table': own(
    onlyFor(
      'leader',
      text(
        'name',
        'none, and the listener answers Bootstrap and GetMetrics alone',
        'Table that is replicated over wolf.raft.',
      ),
    ),
  ),

  'archive.target': own(
    text(
      'url',
      'no archive',
      'Place in which the log of every table is archived: file:///directory, s3://bucket or s3://bucket/prefix; the same on every node.',
    ),
  ),
  'archive.s3-endpoint': own(
    text('url', "Amazon's", 'S3 server of the bucket, http://host:port or https://host:port.'),
  ),
  'archive.s3-region': own(text('name', 'us-east-1', 'Region of the bucket.')),
  'archive.s3-access-key-id': own(secret('none', 'Access key of the bucket.')),
  'archive.s3-secret-access-key': own(secret('none', 'Secret of archive.s3-access-key-id.')),
  'archive.object-size': own(
    sizeBytes(16 * MIB, 'Compressed size at which an object of the archive is stored, about.', {
      minimum: 64 * KIB,
    }),
  ),
  'archive.object-age': own(
    durationMs(10_000, 'Time after which an object of the archive is stored, however small it is.'),
  ),
  'archive.base-interval': own(
    durationMs(
      86_400_000,
      'Age of the last base of a table at which a new one is stored, if the table was written to.',
    ),
  ),
  'archive.retention-age': own(
    durationMs(
      0,
      'Time that the archive reaches back at least; `coxswain archive prune` removes what is older.',
      {
        whenZero: 'nothing is removed',
      },
    ),
  ),
  'archive.retention-bases': own(
    number(2, 'Newest bases of each table that stay, however old they are.', { unit: 'bases', minimum: 1 }),
  ),
  'archive.max-backlog': own(
    sizeBytes(
      1024 * MIB,
      'Entries of all tables of a node that may wait to be archived; the same on every node.',
      { minimum: MIB },
    ),
  ),
  'archive.on-limit': own(
    choice(
      ['gap', 'stop-writes'],
      'gap',
      'What happens when more waits than archive.max-backlog, the same on every node. gap: the oldest entries go, and no restore crosses the gap. stop-writes: writes are refused until less waits.',
    ),
  ),

  'tracing.endpoint': own(
    text(
      'url',
      'no traces',
      'Receiver of OpenTelemetry traces by OTLP over HTTP, such as http://collector:4318; /v1/traces is added. Set it once all nodes run this release.',
    ),
  ),
  'tracing.sample-ratio': own(
    ratio(
      0.01,
      'Part, from 0 to 1, of the traces that begin at this node which is recorded. For a request with a traceparent its sender decides.',
    ),
  ),

  'replication.enabled': boolean(true, 'Serve follower clusters on the replication listener.'),
  'replication.address': address(
    'http://127.0.0.1:8444',
    'URL of the listener for follower clusters; https for TLS. Whoever reaches it can read and write every table. A node of a follower cluster has none unless it is set, and opens one when the cluster is promoted.',
  ),
  'replication.cert-filename': text(
    'file',
    'none',
    'Certificate, in PEM, that the replication listener shows, and that a follower cluster shows to its leader cluster.',
  ),
  'replication.key-filename': text('file', 'none', 'Private key of replication.cert-filename, in PEM.'),
  'replication.ca-filename': text(
    'file',
    "none; towards a leader cluster, the system's authorities",
    "Authorities that must have signed the other cluster's certificates, in PEM.",
  ),
  'replication.client-cert-auth': boolean(
    false,
    'Refuse follower clusters that do not show a certificate signed by an authority in replication.ca-filename.',
  ),

  'replication.max-send-message-size-bytes': onlyFor(
    'leader',
    sizeBytes(4 * MIB, 'Largest message of log entries that is sent, unless a single entry is larger.', {
      minimum: 64 * KIB,
    }),
  ),
  'replication.leader-address': onlyFor(
    'follower',
    textWithDefault(
      '127.0.0.1:8444',
      'addresses',
      'Replication listeners of the leader cluster, each host:port, or https://host:port for TLS, separated by commas.',
    ),
  ),
  'replication.server-name': onlyFor(
    'follower',
    text('name', 'the host that is dialled', "Name that the leader cluster's certificates must be for."),
  ),
  'replication.insecure-skip-verify': onlyFor(
    'follower',
    boolean(false, 'Accept any certificate of the leader cluster. For trials only.'),
  ),
  'replication.keepalive-time': onlyFor(
    'follower',
    durationMs(2_000, 'Silence after which a connection to the leader cluster is tried with a small call.', {
      whenZero: 'never',
    }),
  ),
  'replication.keepalive-timeout': onlyFor(
    'follower',
    durationMs(
      3_000,
      'Time without an answer to that call after which the connection is closed and made anew.',
    ),
  ),
  'replication.poll-interval': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.pollIntervalMs,
      'Interval at which a leader cluster that does not announce new entries is asked for them.',
    ),
  ),
  'replication.reconcile-interval': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.reconcileIntervalMs,
      "Interval at which the tables are compared with the leader cluster's.",
    ),
  ),
  'replication.log-rpc-timeout': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.logRpcTimeoutMs,
      'Time after which one stream of log entries is ended and begun anew. Replication counts as broken after as long without the leader cluster.',
    ),
  ),
  'replication.snapshot-rpc-timeout': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.snapshotRpcTimeoutMs,
      'Time within which a snapshot of a table must arrive.',
    ),
  ),
  'replication.max-recv-message-size-bytes': onlyFor(
    'follower',
    sizeBytes(8 * MIB, 'Largest message that is taken from the leader cluster.', { minimum: 4 * MIB }),
  ),
  'replication.max-recovery-in-flight': onlyFor(
    'follower',
    number(defaultFollowerOptions.recoveriesMax, 'Snapshots that a node takes at a time.', {
      minimum: 1,
    }),
  ),
  'replication.max-snapshot-recv-bytes-per-second': onlyFor(
    'follower',
    sizeBytes(0, 'Compressed bytes a second at which a node takes snapshots, all together.', {
      whenZero: 'no limit',
    }),
  ),

  'log-level': choice(
    ['debug', 'info', 'warn', 'error'],
    'info',
    'Least severe lines that are logged; debug shows elections and connections.',
  ),
  'log.format': own(
    choice(
      ['auto', 'json', 'text'],
      'auto',
      'Form of the log: a JSON object in each line, or text for people; auto is text where stdout is a terminal, and JSON elsewhere.',
    ),
  ),
  'dev-mode': boolean(false, 'Log text for people, unless log.format is json.'),

  'raft.logdb': meaningless('the log has one format'),
  'raft.snapshot-recovery-type': meaningless('snapshots have one format'),
  'raft.max-in-mem-log-size': meaningless('memory for the log has its own limit'),
  'raft.max-recv-queue-size': meaningless('queues between nodes are bounded'),
  'raft.max-send-queue-size': meaningless('queues between nodes are bounded'),
  'raft.seed-protocol': own(meaningless('wolf.raft has a listener of its own: wolf.address')),
  'memberlist.address': meaningless('members know each other by raft.initial-members'),
  'memberlist.advertise-address': meaningless('members know each other by raft.initial-members'),
  'memberlist.members': meaningless('members know each other by raft.initial-members'),
  'api.stream-workers': meaningless('streams need no workers'),
  'storage.table-cache-size': meaningless('LevelDB holds its tables open by itself'),
  'replication.log-cache-size': meaningless('the log is cached by size'),
  'replication.lease-interval': meaningless('replication follows the Raft leader'),
} satisfies Readonly<Record<string, Definition<unknown>>>;

/** The effective configuration, by option name. Durations are in milliseconds, sizes in bytes. */
export type Config = {
  readonly [Name in keyof typeof definitions]: (typeof definitions)[Name]['default'];
};

type OptionName = keyof Config;

/** An option with its name, for flags, documentation and `loadConfig`. */
export interface ConfigOption extends Definition<unknown> {
  readonly name: OptionName;
}

/** Every option, in the order of the documentation. */
export const configOptions: readonly ConfigOption[] = Object.entries(definitions).map(
  ([name, definition]) => ({ ...definition, name: name as OptionName }),
);

/** Options that belong together, with a heading. */
export interface ConfigGroup {
  readonly title: string;
  readonly options: readonly ConfigOption[];
}

/** The headings of the groups, by the part of an option's name before the dot. */
const groupTitles = {
  '': 'Node',
  log: 'Log',
  api: 'API listener',
  rest: 'HTTP listener',
  raft: 'Raft and the write-ahead log',
  storage: 'Tables in memory and on disk',
  memberlist: 'Names',
  tables: 'Making tables',
  maintenance: 'Maintenance',
  clone: 'Clone (moco-agent)',
  'backup-agent': 'Xtrabackup agent',
  wolf: 'wolf.raft',
  archive: 'Archive',
  tracing: 'Traces (OpenTelemetry)',
  replication: 'Replication between clusters',
};

/** Every option that has an effect, in groups, in the order of the documentation. */
export const configGroups: readonly ConfigGroup[] = Object.entries(groupTitles).map(([prefix, title]) => ({
  title,
  options: configOptions.filter(
    ({ name, isMeaningless }) => !isMeaningless && name.slice(0, Math.max(0, name.indexOf('.'))) === prefix,
  ),
}));
