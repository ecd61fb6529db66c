import { defaultNodeOptions } from '@coxswain/node';
import { defaultFollowerOptions } from '@coxswain/replication';

/** How an option's text becomes its value. */
type OptionKind =
  | 'text'
  | 'choice'
  | 'secret'
  | 'boolean'
  | 'number'
  | 'durationMs'
  | 'sizeBytes'
  | 'tableNames'
  | 'members'
  | 'address';

/** What there is to know of an option whose value is a `Value`. */
interface Definition<Value> {
  readonly kind: OptionKind;
  readonly default: Value;
  readonly description: string;
  /** The least value that is accepted, of an option that is a number; of members, the least id. */
  readonly minimum?: number;
  /** All values that are accepted, of a choice. */
  readonly choices?: readonly string[];
  /** Set for options that mean something to the nodes of one kind of cluster only; the log of others says so once. */
  readonly onlyFor?: 'leader' | 'follower';
  /** True for names of Regatta's that mean nothing here: they are accepted, and the log says so once. */
  readonly isMeaningless?: true;
  /** True for names that Regatta does not have: in the environment they are read with COXSWAIN_ before them only. */
  readonly isOwn?: true;
}

const text = (value: string, description: string): Definition<string> => ({
  kind: 'text',
  default: value,
  description,
});

const choice = <const Choice extends string>(
  choices: readonly Choice[],
  value: NoInfer<Choice>,
  description: string,
): Definition<Choice> => ({ kind: 'choice', default: value, choices, description });

/** A secret is shown as `**********`, and can be read from a file (see `loadConfig`). */
const secret = (description: string): Definition<string> => ({ kind: 'secret', default: '', description });

const boolean = (value: boolean, description: string): Definition<boolean> => ({
  kind: 'boolean',
  default: value,
  description,
});

const number = (value: number, description: string, minimum = 0): Definition<number> => ({
  kind: 'number',
  default: value,
  minimum,
  description,
});

const durationMs = (value: number, description: string, minimum = 0): Definition<number> => ({
  kind: 'durationMs',
  default: value,
  minimum,
  description,
});

const sizeBytes = (value: number, description: string, minimum = 0): Definition<number> => ({
  kind: 'sizeBytes',
  default: value,
  minimum,
  description,
});

const tableNames = (description: string): Definition<readonly string[]> => ({
  kind: 'tableNames',
  default: [],
  description,
});

const members = (description: string, minimum = 1): Definition<Readonly<Record<string, string>>> => ({
  kind: 'members',
  default: {},
  minimum,
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

const meaningless = (description: string): Definition<string> => ({
  kind: 'text',
  default: '',
  description,
  isMeaningless: true,
});

/**
 * Every option of a node, once: flags, environment variables and the configuration file carry the same names
 * (docs/protocol.md §5). Defaults are Regatta's, but that every listener binds the loopback address.
 */
const definitions = {
  'data-dir': own(
    text('', 'where the node keeps its data; default: raft.node-host-dir, else ./coxswain-data'),
  ),

  'api.address': address('http://127.0.0.1:8443', 'the API listener: http, https, unix or unixs'),
  'api.advertise-address': text('', 'the URL that clients are told to use; default: api.address'),
  'api.cert-filename': text('', 'the server certificate, PEM; for https and unixs'),
  'api.key-filename': text('', 'the private key of the server certificate, PEM'),
  'api.ca-filename': text('', 'the authorities that client certificates are checked against, PEM'),
  'api.client-cert-auth': boolean(false, 'refuse clients without a certificate of api.ca-filename'),
  'api.allowed-cn': text('', 'the only common name of client certificates that is let in'),
  'api.allowed-hostname': text('', 'the only host name of client certificates that is let in'),
  'api.max-concurrent-connections': number(0, 'connections to the API listener; 0: no limit'),
  'api.max-concurrent-streams': number(0, 'calls under way per connection; 0: no limit'),

  'rest.address': address(
    'http://127.0.0.1:8079',
    'the HTTP listener: /metrics, /healthz, /readyz, and the HTTP API of TiDB-Binlog, which pauses and closes nodes',
  ),
  'rest.read-timeout': durationMs(5_000, 'how long a client of the HTTP listener may take to send a request'),

  'raft.address': text('127.0.0.1:5012', 'host:port at which the other nodes reach this one'),
  'raft.listen-address': text('', 'host:port that the Raft listener binds; default: raft.address'),
  'raft.node-id': number(1, 'the id of this node, unique in the cluster, never reused', 1),
  'raft.initial-members': members('every first member, 1=host:port,2=host:port; default: this node alone'),
  'raft.rtt': durationMs(defaultNodeOptions.tickMs, "Raft's unit of time", 1),
  'raft.heartbeat-rtt': number(
    defaultNodeOptions.heartbeatTicks,
    'heartbeat interval in units of raft.rtt',
    1,
  ),
  'raft.election-rtt': number(defaultNodeOptions.electionTicks, 'election timeout in units of raft.rtt', 2),
  'raft.snapshot-entries': number(defaultNodeOptions.snapshotEntries, 'entries between log compactions', 1),
  'raft.compaction-overhead': number(
    defaultNodeOptions.compactionOverheadEntries,
    'entries kept in a compacted log for nodes that lag',
  ),
  'raft.cert-filename': own(text('', 'the certificate of this node for mutual TLS between nodes, PEM')),
  'raft.key-filename': own(text('', 'the private key of raft.cert-filename, PEM')),
  'raft.ca-filename': own(text('', "the authorities of the nodes' certificates, PEM")),
  'raft.wal-dir': text('', 'where the log is kept; default: wal/ in the data directory'),
  'raft.wal-segment-size': own(
    sizeBytes(
      defaultNodeOptions.walSegmentSizeBytes,
      'the size of one log segment',
      // A segment must hold the largest entry, which a request of 4 MiB makes, with room to spare (P4).
      16 * 1024 * 1024,
    ),
  ),
  'raft.node-host-dir': text('', "Regatta's name for the data directory"),
  'raft.state-machine-dir': text('', 'where the tables are kept; default: tables/ in the data directory'),

  'storage.block-cache-size': sizeBytes(
    defaultNodeOptions.storeCacheBytes,
    'memory for cached blocks of the first table; each later one gets a smaller part',
  ),
  'storage.page-cache-size': own(
    sizeBytes(
      defaultNodeOptions.pageCacheBytes,
      'memory for pages of all tables, from which ranges are answered; 0: none',
      0,
    ),
  ),
  'storage.write-buffer-size': own(
    sizeBytes(
      defaultNodeOptions.storeWriteBufferBytes,
      'memory for writes of a table that are not in its store yet: half of it is flushed while the other half is filled',
      64 * 1024,
    ),
  ),
  'storage.write-memory-size': own(
    sizeBytes(
      defaultNodeOptions.writeMemoryBytes,
      'memory for such writes of all tables: past it the table with most is flushed',
      1024 * 1024,
    ),
  ),
  'storage.open-tables': own(
    number(
      0,
      'tables whose files are open at a time: those used last; 0: as the limit of descriptors allows, 2000 at most',
    ),
  ),
  'storage.history-retention': own(
    durationMs(defaultNodeOptions.historyRetentionMs, 'how long superseded versions stay readable'),
  ),

  'memberlist.node-name': text('', 'the name of this node; default: node-<id>'),
  'memberlist.cluster-name': text('', "the name of the cluster; default: the cluster's id"),

  'tables.enabled': boolean(true, 'serve regatta.v1.Tables'),
  'tables.token': secret('what callers of regatta.v1.Tables must present; empty: anyone may call'),
  'tables.names': onlyFor('leader', tableNames('tables that exist from the start')),

  'maintenance.enabled': boolean(
    true,
    'serve maintenance.v1: backup, restore, reset and promote; and PUT /state and /debug of the HTTP listener',
  ),
  'maintenance.token': secret(
    'what callers of maintenance.v1, and of PUT /state and /debug of the HTTP listener, must present; empty: anyone may call',
  ),
  'maintenance.backup-bytes-per-second': own(
    sizeBytes(
      0,
      'how fast this node sends backups, all together, compressed, and stores bases in the archive; 0: no limit',
    ),
  ),
  'maintenance.restore-bytes-per-second': own(
    sizeBytes(0, 'how fast this node takes restores, all together, compressed; 0: no limit'),
  ),

  'clone.address': own(
    text(
      '',
      'the donor outside, for Clone with external=true: host:port of an API or replication listener, with https:// for TLS',
    ),
  ),
  'clone.token': own(secret("the donor's maintenance token, where its API listener is named")),
  'clone.ca-filename': own(
    text('', "the authorities of donors' certificates; donors are then reached over TLS"),
  ),

  'backup-agent.address': own(
    text(
      '',
      'host:port of the Xtrabackup agent listener, which has no TLS; without a host 127.0.0.1; empty: none',
    ),
  ),

  'wolf.address': own(
    text(
      '',
      'host:port of the wolf.raft listener, at which the other members reach this node; it has no TLS: whoever reaches it can change the table; empty: none',
    ),
  ),
  'wolf.members': own(
    onlyFor(
      'leader',
      members(
        'every member of the wolf.raft group, 0=host:port,1=host:port; this node is the one at wolf.address; default: 0, this node alone',
        0,
      ),
    ),
  ),
  'wolf.table': own(
    onlyFor(
      'leader',
      text(
        '',
        'the table that is replicated over wolf.raft; empty: none, and only Bootstrap and GetMetrics answer',
      ),
    ),
  ),

  'archive.target': own(
    text(
      '',
      'where the log of every table is archived: file:///directory, s3://bucket or s3://bucket/prefix; empty: nowhere; the same on every node',
    ),
  ),
  'archive.s3-endpoint': own(
    text('', "the S3 server, http://host:port or https://host:port; default: Amazon's"),
  ),
  'archive.s3-region': own(text('', 'the region of the bucket; default: us-east-1')),
  'archive.s3-access-key-id': own(secret('the access key of the bucket')),
  'archive.s3-secret-access-key': own(secret('the secret of the access key')),
  'archive.object-size': own(
    sizeBytes(16 * 1024 * 1024, 'about how much an object holds, compressed', 64 * 1024),
  ),
  'archive.object-age': own(durationMs(10_000, 'how long a write waits for its object to be stored')),
  'archive.base-interval': own(
    durationMs(86_400_000, 'how old the last base of a table becomes that is written to'),
  ),
  'archive.retention-age': own(
    durationMs(0, 'how long one can go back, at least; what is older goes; 0: nothing goes'),
  ),
  'archive.retention-bases': own(number(2, 'bases of each table that stay, however old', 1)),
  'archive.max-backlog': own(
    sizeBytes(
      1024 * 1024 * 1024,
      'how much of the logs may wait on a node to be archived, of all tables; the same on every node',
      1024 * 1024,
    ),
  ),
  'archive.on-limit': own(
    choice(
      ['gap', 'stop-writes'],
      'gap',
      'when more waits: gap, the oldest goes and no restore crosses it; stop-writes, writes are refused',
    ),
  ),

  'replication.enabled': boolean(true, 'serve the replication listener'),
  'replication.address': address(
    'http://127.0.0.1:8444',
    'the listener for follower clusters, which also write through it: whoever reaches it can read and write every table; with https for TLS; a node of a follower cluster for which it is not set opens it when the cluster is promoted',
  ),
  'replication.cert-filename': text('', 'the certificate of the replication listener, PEM'),
  'replication.key-filename': text('', 'the private key of replication.cert-filename, PEM'),
  'replication.ca-filename': text('', 'the authorities that the other cluster is checked against, PEM'),
  'replication.client-cert-auth': boolean(false, 'refuse followers without a certificate of that authority'),

  'replication.max-send-message-size-bytes': onlyFor(
    'leader',
    sizeBytes(4 * 1024 * 1024, 'the largest message of log entries, but for a larger single one', 64 * 1024),
  ),
  'replication.leader-address': onlyFor(
    'follower',
    text(
      '127.0.0.1:8444',
      'the replication listeners of the leader cluster, host:port, several with commas; https:// for TLS',
    ),
  ),
  'replication.server-name': onlyFor('follower', text('', "the name in the leader cluster's certificates")),
  'replication.insecure-skip-verify': onlyFor(
    'follower',
    boolean(false, 'believe any certificate of the leader cluster; for trials only'),
  ),
  'replication.keepalive-time': onlyFor(
    'follower',
    durationMs(2_000, 'a connection to the leader cluster that is silent for so long is tried; 0: never'),
  ),
  'replication.keepalive-timeout': onlyFor(
    'follower',
    durationMs(3_000, 'without an answer in this time such a connection is closed and made anew'),
  ),
  'replication.poll-interval': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.pollIntervalMs,
      'how often a leader cluster is asked for news that does not tell them by itself',
    ),
  ),
  'replication.reconcile-interval': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.reconcileIntervalMs,
      "how often the tables are compared with the leader cluster's",
    ),
  ),
  'replication.log-rpc-timeout': onlyFor(
    'follower',
    durationMs(
      defaultFollowerOptions.logRpcTimeoutMs,
      'how long one stream of the log may last; out of reach for longer, replication counts as broken',
    ),
  ),
  'replication.snapshot-rpc-timeout': onlyFor(
    'follower',
    durationMs(defaultFollowerOptions.snapshotRpcTimeoutMs, 'how long taking one snapshot may last'),
  ),
  'replication.max-recv-message-size-bytes': onlyFor(
    'follower',
    sizeBytes(8 * 1024 * 1024, 'the largest message that is taken from the leader cluster', 4 * 1024 * 1024),
  ),
  'replication.max-recovery-in-flight': onlyFor(
    'follower',
    number(defaultFollowerOptions.recoveriesMax, 'snapshots that a node takes at a time', 1),
  ),
  'replication.max-snapshot-recv-bytes-per-second': onlyFor(
    'follower',
    sizeBytes(0, 'how fast snapshots are taken, compressed; 0: no limit'),
  ),

  'log-level': choice(['debug', 'info', 'warn', 'error'], 'info', 'debug, info, warn or error'),
  'dev-mode': boolean(false, 'logs for people instead of JSON'),

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

/** The effective configuration, by option name. Durations are milliseconds, sizes bytes. */
export type Config = {
  readonly [Name in keyof typeof definitions]: (typeof definitions)[Name]['default'];
};

type OptionName = keyof Config;

/** An option as flags, documentation and `loadConfig` see it. */
export interface ConfigOption extends Definition<unknown> {
  readonly name: OptionName;
}

/** Every option, in the order of the documentation. */
export const configOptions: readonly ConfigOption[] = Object.entries(definitions).map(
  ([name, definition]) => ({ ...definition, name: name as OptionName }),
);
