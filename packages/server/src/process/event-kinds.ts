import { agentEvents } from '@coxswain/agents';
import { archiveEvents } from '@coxswain/archive';
import { backupEvents } from '@coxswain/backup';
import { nodeEvents } from '@coxswain/node';
import { replicationEvents } from '@coxswain/replication';
import type { EventKind } from '@coxswain/runtime';
import { serverEvents } from '../events.js';

/** The kinds of events that a process of the server has, by the part that they are of. */
export const eventKinds: Readonly<Record<string, readonly EventKind[]>> = {
  'Of the process and its listeners': Object.values(serverEvents),
  'Of the cluster, its tables and disks': Object.values(nodeEvents),
  'Of a follower cluster': Object.values(replicationEvents),
  'Of backups and restores': Object.values(backupEvents),
  'Of the archive': Object.values(archiveEvents),
  'Of the agents': Object.values(agentEvents),
};

/** The kinds of events that a process of the server has, in one list. */
export const allEventKinds: readonly EventKind[] = Object.values(eventKinds).flat();
