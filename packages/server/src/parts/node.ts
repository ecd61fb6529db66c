import {
  DataDirectoryError,
  type Disks,
  type Environment,
  GrpcWolfLink,
  Node,
  type NodeOptions,
  NodeSmallFiles,
  systemClock,
  systemRandom,
} from '@coxswain/node';
import { LevelStoreDirectory, RestingStores, type StoreDirectory } from '@coxswain/table';
import { NodeWalDisk } from '@coxswain/wal';
import { serverEvents } from '../events.js';
import { DataDirectory, type DataPaths } from '../process/data-directory.js';
import { checkFirstRoom } from '../process/disk-room.js';
import { during } from '../process/during.js';
import { peerCertificates } from '../process/link-certificates.js';
import { RaftListener } from '../process/raft-listener.js';
import { toStartError } from '../process/start-error.js';
import type { Shared } from './shared.js';

/**
 * The most tables whose files are open at a time, unless the operator or the limit of descriptors sets another number.
 */
const OPEN_TABLES_MAX = 2_000;
const OPEN_TABLES_MIN = 8;
/** The descriptors that are reckoned for an open table. It takes four when it is new, and more as it grows. */
const DESCRIPTORS_PER_OPEN_TABLE = 8;
/** The descriptors that a node takes without tables and connections, and must have left when it makes a table. */
const DESCRIPTORS_FOR_ALL_ELSE = 160;
/** The number of election timeouts after which a silent peer is dialled again. */
const SILENT_ELECTION_TIMEOUTS = 2;

/** The data of a node on this machine. */
export interface NodeData {
  readonly options: NodeOptions;
  readonly paths: DataPaths;
  readonly disks: Disks;
}

/**
 * Takes the data directory, and opens the node in it. The node's start, a part of the server, opens the tables and
 * joins the cluster. Rejects with StartError.
 */
export async function openNode(shared: Shared, data: NodeData): Promise<Node> {
  const { parts } = shared;
  const { options, paths } = data;
  await takeDirectory(shared, data);
  const environment = await openEnvironment(shared, data);
  const node = await during(`open the data in ${paths.root}`, () => Node.open(options, environment));
  parts.add('node', {
    start: async () => {
      await during(`open the tables in ${paths.tables}`, () => node.openTables());
      await during('join the cluster', () => node.start());
    },
    stop: () => node.stop(),
  });
  return node;
}

async function takeDirectory({ parts, log }: Shared, { options, paths, disks }: NodeData): Promise<void> {
  const directory = await during(`use the data directory ${paths.root}`, () => DataDirectory.take(paths));
  parts.add('data directory', { stop: () => directory.release() });
  await checkFirstRoom(disks, paths, options);
  const { openToOthers } = directory;
  if (openToOthers.length > 0) log(serverEvents.dataDirectoryOpen, { directories: openToOthers });
}

async function openEnvironment(
  { config, certificates, failedHandshakes, tracing, log, fatal }: Shared,
  { options, paths, disks }: NodeData,
): Promise<Environment> {
  const ofPeers = await during('read the certificates of raft', () => peerCertificates(config, log));
  certificates.add(ofPeers);
  const files = new NodeSmallFiles(paths.root);
  return {
    clock: systemClock,
    random: systemRandom,
    transport: new RaftListener({
      listenAddress: config['raft.listen-address'] || config['raft.address'],
      tls: ofPeers && (() => ofPeers.current),
      silenceMs: SILENT_ELECTION_TIMEOUTS * options.electionTicks * options.tickMs,
      onHandshakeFailed: () => failedHandshakes.count('raft'),
      log,
    }),
    wolfLink: new GrpcWolfLink(),
    walDisk: await during(`open the log in ${paths.wal}`, () => NodeWalDisk.open(paths.wal)),
    stores: await during(`open the tables in ${paths.tables}`, () =>
      openStores(options, paths.tables, files, config['storage.open-tables']),
    ),
    files,
    disks,
    tracer: tracing?.tracer,
    log,
    // Some reasons that forbid using the data are only known once the node talks to others, or has read the log.
    fatal: (error) =>
      fatal(
        error instanceof DataDirectoryError
          ? toStartError(`use the data directory ${paths.root}`, error)
          : error,
      ),
  };
}

/**
 * Opens the directory of the tables. `openTables` is the number of tables that may have their files open at a time;
 * with 0 the limit of descriptors decides.
 */
async function openStores(
  options: NodeOptions,
  path: string,
  files: NodeSmallFiles,
  openTables: number,
): Promise<StoreDirectory> {
  const directory = await LevelStoreDirectory.open(path, {
    writeBufferSizeBytes: options.storeWriteBufferBytes,
    cacheSizeBytes: options.storeCacheBytes,
  });
  const { max } = await files.descriptors();
  const allowed = Math.floor((max - DESCRIPTORS_FOR_ALL_ELSE) / DESCRIPTORS_PER_OPEN_TABLE);
  const byDefault = Math.max(OPEN_TABLES_MIN, Math.min(OPEN_TABLES_MAX, allowed));
  return new RestingStores(directory, openTables || byDefault);
}
