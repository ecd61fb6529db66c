import { declareEvents } from '@coxswain/runtime';

const FIELDS = {
  address: 'The address of the leader cluster.',
  readableAs: 'The name under which the data can still be read.',
  reason: 'What went wrong.',
  table: 'The name of the table.',
};

/** Every kind of event of a follower cluster and of its link to the leader cluster, once. */
export const replicationEvents = declareEvents(FIELDS, {
  leaderClusterLost: {
    severity: 'warn',
    text: 'the leader cluster is out of reach: the tables here grow old',
    advice: 'Look whether the leader cluster runs and its replication listener can be reached from here.',
    fields: ['address'],
  },
  leaderClusterReached: {
    severity: 'info',
    text: 'the leader cluster is reached again',
    fields: ['address'],
  },
  leaderClusterHandshakeFailed: {
    severity: 'warn',
    text: 'a handshake with the leader cluster failed',
    advice:
      'Look at replication.ca-filename (of a clone: clone.ca-filename), replication.server-name and the certificates of both sides.',
    fields: ['address', 'reason'],
  },
  followedTableMade: {
    severity: 'info',
    text: 'a table of the leader cluster was made here',
    fields: ['table'],
  },
  followedTableGone: {
    severity: 'warn',
    text: 'the leader cluster has a table no more: it was taken out of service, and its data is kept for a while',
    advice: 'If the table was deleted by mistake, read it here under its other name.',
    fields: ['table', 'readableAs'],
  },
  followedTableReturned: {
    severity: 'warn',
    text: 'a table of the leader cluster was gone for a while and is taken anew',
    fields: ['table'],
  },
  followedTableRemade: {
    severity: 'warn',
    text: 'a table was deleted and made again in the leader cluster and is taken anew',
    fields: ['table'],
  },
  followedLogUncomparable: {
    severity: 'warn',
    text: 'the leader cluster compacts its log so early that nobody can know whether it made the table again: it is taken anew, at most once an hour',
    advice: 'Have the leader cluster keep more of its log.',
    fields: ['table'],
  },
  followedLogTooShort: {
    severity: 'info',
    text: 'the log of the leader cluster does not reach back far enough: a snapshot is taken',
    fields: ['table'],
  },
  followedTableTaken: {
    severity: 'info',
    text: 'a table was taken anew from the leader cluster',
    fields: ['table'],
  },
  followedShardKept: {
    severity: 'warn',
    text: 'a shard that was not filled could not be given up: the next attempt replaces it',
    fields: ['reason'],
  },
  replicationStopped: {
    severity: 'error',
    text: 'replication of a table is stopped',
    advice: 'Do what the reason says: nothing more of the table comes until then.',
    fields: ['table', 'reason'],
  },
  tablePromoted: {
    severity: 'info',
    text: 'a table takes writes of its own now',
    fields: ['table'],
  },
  promotionStepFailed: {
    severity: 'warn',
    text: 'a step of the promotion failed and is done again',
    fields: ['reason'],
  },
  clusterPromoted: {
    severity: 'info',
    text: 'all tables are promoted: this cluster is a leader cluster now',
  },
});
