import { declareEvents } from '@coxswain/runtime';

const FIELDS = {
  keyCount: 'The number of keys of the table.',
  reason: 'What went wrong.',
  revision: 'The revision that the backup is of.',
  shardId: 'The shard that the table has now.',
  table: 'The name of the table.',
};

/** Every kind of event of backups and restores, once. */
export const backupEvents = declareEvents(FIELDS, {
  tableBackedUp: {
    severity: 'debug',
    text: 'a backup of a table was sent',
    fields: ['table', 'revision'],
  },
  tableBackupFailed: {
    severity: 'warn',
    text: 'a backup of a table broke off before its end',
    advice:
      'Look whether the backup has ended well all the same: "coxswain backup" goes on with a table where it broke off.',
    fields: ['table', 'revision'],
  },
  tableRestored: {
    severity: 'info',
    text: 'a table was restored',
    fields: ['table', 'shardId', 'keyCount'],
  },
  restoredShardKept: {
    severity: 'warn',
    text: 'the unfinished shard of a restore could not be given up yet',
    fields: ['table', 'reason'],
  },
});
