import { declareEvents } from '@coxswain/runtime';

const FIELDS = {
  action: 'The change: pause, resume or close, as the caller wrote it.',
  backupId: 'The id that the caller gave the backup.',
  bucket: 'The bucket that it goes to.',
  donor: 'The address of the cluster that is cloned.',
  error: 'What went wrong.',
  file: 'The file in the data directory.',
  first: 'The first entry.',
  follower: 'The follower cluster that lacks something.',
  full: 'The number of tables in full.',
  host: 'The address.',
  incremental: 'The number of tables of which only the changes came.',
  last: 'The last entry.',
  nodeId: 'The node that is to change.',
  objects: 'The number of objects that it has.',
  peer: 'The address of the client.',
  port: 'The port.',
  reason: 'What went wrong.',
  shard: 'The shard of the entries.',
  silent: 'A member that does not answer, and may know other followers.',
  state: 'The state that it has now.',
  table: 'The name of the table; of a follower cluster that is waited for, one of which it lacks something.',
  tables: 'The number of tables of that cluster, or of those that have come.',
};

/** Every kind of event of the agents: moco-agent, TiDB-Binlog and Xtrabackup, once. */
export const agentEvents = declareEvents(FIELDS, {
  cloneBegun: {
    severity: 'info',
    text: 'a clone of another cluster into this one has begun',
    fields: ['donor', 'tables'],
  },
  cloneDone: {
    severity: 'info',
    text: 'a clone of another cluster into this one is done',
    fields: ['donor', 'tables'],
  },
  tableCloneFailed: {
    severity: 'warn',
    text: 'a table could not be cloned and is tried again',
    fields: ['table', 'reason'],
  },
  archiveBackupBegun: {
    severity: 'info',
    text: 'a backup of the archive has begun',
    fields: ['backupId', 'bucket'],
  },
  archiveBackupDone: {
    severity: 'info',
    text: 'a backup of the archive is done',
    fields: ['backupId', 'objects'],
  },
  archiveBackupFailed: {
    severity: 'error',
    text: 'a backup of the archive has failed',
    advice: 'Remove the reason and ask for the backup again.',
    fields: ['backupId', 'reason'],
  },
  archiveBackupIncomplete: {
    severity: 'warn',
    text: 'entries were pruned from the archive before a backup held them, and the backup marks the hole',
    advice: 'Make backups of the archive more often than its retention.',
    fields: ['backupId', 'shard', 'first', 'last'],
  },
  binlogActionAsked: {
    severity: 'info',
    text: 'a change of a node was asked for by the TiDB-Binlog API',
    fields: ['nodeId', 'action'],
  },
  memberStateChanged: {
    severity: 'info',
    text: 'the state of this node has changed',
    fields: ['state'],
  },
  nodeClosing: {
    severity: 'info',
    text: 'the node is being closed',
    advice:
      'A node of a leader cluster takes no writes from now on, and leaves when every follower cluster has all.',
  },
  closingWaits: {
    severity: 'warn',
    text: 'the node that is being closed waits for a follower cluster',
    advice: 'Look whether that follower cluster runs, or stop the node by a signal.',
    fields: ['follower', 'table', 'silent'],
  },
  backupAgentOpened: {
    severity: 'info',
    text: 'the backup agent listens',
    fields: ['host', 'port'],
  },
  backupAgentAcceptFailed: {
    severity: 'error',
    text: 'the backup agent could not accept a connection',
    advice: 'Look whether the process has descriptors left (ulimit -n).',
    fields: ['error'],
  },
  backupHistoryUnread: {
    severity: 'warn',
    text: 'the backup agent knows no earlier backups: their file cannot be read',
    fields: ['file', 'reason'],
  },
  backupHistoryUnwritten: {
    severity: 'warn',
    text: 'the backup agent could not store what it has sent',
    advice: 'After a restart action=monitor lacks it, and ZRM gets again what it asks for twice.',
    fields: ['file', 'reason'],
  },
  agentRequestRefused: {
    severity: 'warn',
    text: 'the backup agent has refused a request',
    fields: ['peer', 'reason'],
  },
  agentNothingDue: {
    severity: 'debug',
    text: 'the backup agent had nothing to send',
    fields: ['peer'],
  },
  agentBackupSent: {
    severity: 'info',
    text: 'the backup agent has sent a backup',
    fields: ['peer', 'full', 'incremental'],
  },
  agentBackupFailed: {
    severity: 'error',
    text: 'the backup agent could not send a backup',
    fields: ['peer', 'reason'],
  },
});
