import { Archiver, type ObjectStore, openArchiveStore } from '@coxswain/archive';
import { type Node, systemRandom } from '@coxswain/node';
import type { Shared } from './shared.js';

/** The archive of a server: its store, and the archiver, which writes to it once it is started. */
export interface Archive {
  readonly store: ObjectStore;
  readonly archiver: Archiver;
}

/**
 * Opens the archive; returns undefined when none is configured. The store itself is not contacted yet, so that a store
 * out of reach does not prevent a start.
 */
export function openArchive(
  node: Node,
  { config, parts, log, fatal, backupRate }: Shared,
): Archive | undefined {
  if (config['archive.target'] === '') return undefined;
  const store = openArchiveStore({
    target: config['archive.target'],
    endpoint: config['archive.s3-endpoint'],
    region: config['archive.s3-region'],
    accessKeyId: config['archive.s3-access-key-id'],
    secretAccessKey: config['archive.s3-secret-access-key'],
  });
  parts.add('archive store', { stop: () => store.close() });
  const environment = {
    // With the node's own clock, pruning by age does not take objects for old when the system's clock jumps ahead (A7).
    clock: node.clock,
    random: systemRandom,
    log,
    store,
    baseRate: backupRate,
    fatal,
  };
  const archiver = new Archiver(node, environment, {
    objectSizeBytes: config['archive.object-size'],
    objectAgeMs: config['archive.object-age'],
    baseIntervalMs: config['archive.base-interval'],
    retention: {
      ageMs: config['archive.retention-age'],
      basesMin: config['archive.retention-bases'],
    },
    backlogBytesMax: config['archive.max-backlog'],
  });
  parts.add('archiver', archiver);
  return { store, archiver };
}
