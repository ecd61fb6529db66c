import { declareEvents } from '@coxswain/runtime';

const FIELDS = {
  backlogBytes: 'The bytes of all logs that are not archived yet.',
  backlogBytesMax: 'The value of archive.max-backlog, in bytes.',
  error: 'What went wrong.',
  first: 'The first entry.',
  last: 'The last entry.',
  refusesWrites: 'Whether writes are refused until less waits.',
  revision: 'The revision that it holds.',
  shardId: 'The shard that the table has.',
  table: 'The name of the table.',
  unbacked: 'The runs of entries.',
};

/** Every kind of event of the archive, once. */
export const archiveEvents = declareEvents(FIELDS, {
  archiveBehind: {
    severity: 'warn',
    text: 'more than half of archive.max-backlog waits to be archived',
    advice: 'Look with "coxswain archive list" why it cannot be stored, or whether the store is too slow.',
    fields: ['backlogBytes', 'backlogBytesMax', 'refusesWrites'],
  },
  archiveCaughtUp: {
    severity: 'info',
    text: 'the archive has caught up',
    fields: ['backlogBytes', 'backlogBytesMax', 'refusesWrites'],
  },
  tableArchivingFailed: {
    severity: 'warn',
    text: 'a table cannot be archived for the moment',
    advice: 'Look whether the store of archive.target can be reached and takes writes.',
    fields: ['table', 'shardId', 'error'],
  },
  tableArchivingResumed: {
    severity: 'info',
    text: 'a table is archived again',
    fields: ['table', 'shardId'],
  },
  archiveGap: {
    severity: 'error',
    text: 'entries were never archived, and no restore can cross the gap',
    advice: 'Nothing can bring them back: restore to a moment before the gap, or from the base after it.',
    fields: ['table', 'shardId', 'first', 'last'],
  },
  logArchived: {
    severity: 'debug',
    text: 'a part of the log of a table was archived',
    fields: ['table', 'shardId', 'last'],
  },
  baseArchived: {
    severity: 'info',
    text: 'a base backup of a table was archived',
    fields: ['table', 'shardId', 'revision'],
  },
  baseArchivingFailed: {
    severity: 'warn',
    text: 'a base backup of a table could not be archived and is tried again',
    advice: 'Look whether the store of archive.target can be reached and takes writes.',
    fields: ['table', 'shardId', 'error'],
  },
  unbackedEntriesPruned: {
    severity: 'warn',
    text: 'entries were pruned from the archive that no backup holds',
    advice: 'Make backups of the archive more often than its retention.',
    fields: ['table', 'shardId', 'unbacked'],
  },
  archivePruningFailed: {
    severity: 'warn',
    text: 'what is too old in the archive could not be removed yet',
    advice: 'Look whether the store of archive.target lets this node list and delete.',
    fields: ['table', 'shardId', 'error'],
  },
});
