import { declareEvents } from '@coxswain/runtime';

const reason = 'What went wrong.';
const table = 'The name of the table.';

/** Every kind of event of backups and restores, once. */
export const backupEvents = declareEvents({
  tableBackedUp: {
    severity: 'debug',
    text: 'a backup of a table was sent',
    fields: { table, revision: 'The revision that it holds.' },
  },
  tableBackupFailed: {
    severity: 'warn',
    text: 'a backup of a table broke off before its end',
    advice: 'Look at what made the backup: "coxswain backup" goes on where it broke off.',
    fields: { table, revision: 'The revision that it was of.' },
  },
  tableRestored: {
    severity: 'info',
    text: 'a table was restored',
    fields: { table, shardId: 'The shard that the table has now.', keyCount: 'The number of its keys.' },
  },
  restoredShardKept: {
    severity: 'warn',
    text: 'the unfinished shard of a restore could not be given up yet',
    fields: { table, reason },
  },
});
