import {
  defaultNodeOptions,
  isTableName,
  type NodeOptions,
  TABLE_NAME_RULE,
  type WolfOptions,
} from '@coxswain/node';
import { StartError } from '../process/start-error.js';
import { version } from '../process/version.js';
import { formatHostAndPort, isWildcard, localUrl, parseListenAddress } from './address.js';
import type { Config } from './config-schema.js';

/** Returns the name of this node, which is `node-` and its id by default. */
export function nodeName(config: Config): string {
  return config['memberlist.node-name'] || `node-${config['raft.node-id']}`;
}

/**
 * Returns the options of the table that is replicated over wolf.raft; undefined when there is none. Throws StartError
 * for options that contradict each other.
 */
export function wolfOptions(config: Config): WolfOptions | undefined {
  const { 'wolf.table': table, 'wolf.address': own, 'wolf.members': named } = config;
  if (table === '') {
    if (Object.keys(named).length === 0) return undefined;
    throw new StartError('wolf.members needs wolf.table, the table that these members replicate');
  }
  if (own === '')
    throw new StartError('wolf.table needs wolf.address, at which the other members reach this node');
  if (!isTableName(table)) throw new StartError(`wolf.table must be ${TABLE_NAME_RULE}`);
  const members = new Map(Object.entries(named).map(([id, address]) => [Number(id), address]));
  if (members.size === 0) members.set(0, own);
  const id = [...members].find(([, address]) => address === own)?.[0];
  if (id === undefined) {
    throw new StartError(
      `wolf.members must list ${own}, which is wolf.address: add it, with the id that it has on the other members`,
    );
  }
  return { table, id, members };
}

/**
 * Returns host:port at which others reach the REST listener, with the host of raft.address when the listener binds
 * every address.
 */
function advertisedRestAddress(config: Config): string {
  const address = parseListenAddress(config['rest.address'])!;
  if (address.path !== undefined) return address.path;
  const { host } = isWildcard(address) ? parseListenAddress(config['raft.address'])! : address;
  return formatHostAndPort(host!, address.port!);
}

/** Returns the options from which a node is made. Throws StartError when options contradict each other. */
export function toNodeOptions(config: Config): NodeOptions {
  const nodeId = config['raft.node-id'];
  const members = new Map(
    Object.entries(config['raft.initial-members']).map(([id, address]) => [Number(id), address]),
  );
  if (members.size === 0) members.set(nodeId, config['raft.address']);
  if (!members.has(nodeId)) {
    throw new StartError(
      `raft.initial-members does not list this node: add ${nodeId}=${config['raft.address']}`,
    );
  }
  if (config['raft.election-rtt'] <= config['raft.heartbeat-rtt']) {
    throw new StartError(
      'raft.election-rtt must be greater than raft.heartbeat-rtt, best ten times and more',
    );
  }
  const advertised = config['api.advertise-address'] || localUrl(parseListenAddress(config['api.address'])!);
  return {
    ...defaultNodeOptions,
    nodeId,
    nodeName: nodeName(config),
    initialMembers: members,
    clientUrls: [advertised],
    restAddress: advertisedRestAddress(config),
    version,
    tickMs: config['raft.rtt'],
    heartbeatTicks: config['raft.heartbeat-rtt'],
    electionTicks: config['raft.election-rtt'],
    snapshotEntries: config['raft.snapshot-entries'],
    compactionOverheadEntries: config['raft.compaction-overhead'],
    historyRetentionMs: config['storage.history-retention'],
    walSegmentSizeBytes: config['raft.wal-segment-size'],
    storeWriteBufferBytes: config['storage.write-buffer-size'],
    writeMemoryBytes: config['storage.write-memory-size'],
    storeCacheBytes: config['storage.block-cache-size'],
    pageCacheBytes: config['storage.page-cache-size'],
    initialTables: config['tables.names'],
    archive:
      config['archive.target'] === ''
        ? undefined
        : { backlogBytesMax: config['archive.max-backlog'], onLimit: config['archive.on-limit'] },
  };
}
