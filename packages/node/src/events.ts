import { declareEvents } from '@coxswain/runtime';

const FIELDS = {
  address: 'The address that the peer has in raft.initial-members.',
  aheadSeconds: 'By how much the clock is ahead, in seconds.',
  clusterId: 'The identity of the cluster.',
  directory: 'The directory on the disk.',
  disk: 'The part of the data that lies on the disk.',
  donor: 'The address of the cluster that is cloned.',
  first: 'One of the tables that changed at once.',
  freeBytes: 'The bytes that are left.',
  from: 'The IP address that the connection came from.',
  group: 'The number of the Raft group, which is the shard of its table.',
  groups: 'The number of groups that this node led.',
  index: 'The index of the last entry that the snapshot contains.',
  keptGroups: 'The number of these groups that nobody else leads yet.',
  knownStart: 'The number of the newest start that took part.',
  leader: 'The node that leads.',
  max: 'The number of descriptors that the process may have.',
  members: 'The number of members.',
  ours: 'The members that this node knows.',
  peer: 'The other node, by its number; with wolf.raft by its address or by its number there.',
  reached: 'The members that it reaches, itself among them.',
  reason: 'What went wrong.',
  role: 'The role of this node in the group.',
  shardId: 'The shard that the table has.',
  slowestMs: 'The slowest of these syncs, in milliseconds.',
  start: 'The number of the start that is refused.',
  table: 'The name of the table, or meta for the group that holds the registry of tables.',
  tables: 'The number of tables: of the donor, or that changed at once, if more than five did.',
  tablesDone: 'The number of tables that have come.',
  term: 'The term of the Raft group.',
  theirs: 'The members that the other node knows.',
  times: 'The syncs of a second or longer since the last such event.',
  transferId: 'A random name of this transfer, the same at both ends.',
  wantedBytes: 'The bytes below which writes are refused.',
  was: 'The node that led before.',
  wasAheadSeconds: 'By how much the clock was ahead, in seconds.',
};

/** Every kind of event of a node's groups, tables, peers and disks, once. */
export const nodeEvents = declareEvents(FIELDS, {
  clusterFormed: {
    severity: 'info',
    text: 'the cluster has formed',
    fields: ['clusterId'],
  },
  otherInitialMembers: {
    severity: 'error',
    text: 'another node was started with other initial members',
    advice: 'Start all nodes with the same raft.initial-members.',
    fields: ['peer', 'theirs', 'ours'],
  },
  greetingRefused: {
    severity: 'warn',
    text: 'the greeting of another node was refused',
    advice: 'Look whether a node of another cluster has the address of one of this cluster.',
    fields: ['peer', 'reason'],
  },
  memberStartRefused: {
    severity: 'warn',
    text: 'a member was started from an older copy of its data directory, or twice, and is refused',
    advice:
      'Bring the newest data directory of that member back and start it with that. Never empty it: the others would refuse it.',
    fields: ['peer', 'start', 'knownStart'],
  },
  promotedEarlier: {
    severity: 'warn',
    text: 'this cluster was promoted and serves as a leader cluster, though the node was started for a follower cluster',
    advice: 'Start the node with "coxswain leader" from now on.',
  },
  fewDescriptors: {
    severity: 'warn',
    text: 'too few descriptors are left for another table, and the cluster makes none',
    advice: 'Raise ulimit -n (LimitNOFILE under systemd) on every node and start it again.',
    fields: ['max'],
  },
  cloneFailed: {
    severity: 'error',
    text: 'a clone of another cluster into this one has failed',
    advice:
      'Delete the tables that have come and clone again, or keep them with "coxswain clone forget". Until then writes and new tables are refused.',
    fields: ['donor', 'reason', 'tables', 'tablesDone'],
  },

  peerUp: { severity: 'info', text: 'a peer is up', fields: ['peer'] },
  peerDown: {
    severity: 'warn',
    text: 'a peer is down: it is not heard any more',
    advice: 'Look whether its process runs, and whether the network between the nodes carries packets.',
    fields: ['peer'],
  },
  quorumReached: {
    severity: 'info',
    text: 'this node reaches a quorum of the members again',
    fields: ['reached', 'members'],
  },
  quorumLost: {
    severity: 'warn',
    text: 'this node reaches no quorum of the members: it takes no writes until it does',
    advice: 'Start the nodes that are down, and mend the network between them.',
    fields: ['reached', 'members'],
  },
  peerConnected: { severity: 'debug', text: 'a connection to a peer is open', fields: ['peer', 'address'] },
  peerDisconnected: {
    severity: 'debug',
    text: 'the connection to a peer was lost',
    fields: ['peer', 'reason'],
  },
  peerUnreachable: {
    severity: 'warn',
    text: 'this node cannot connect to a peer',
    advice:
      'Look whether the peer runs, listens at the address, and has a certificate that this node trusts.',
    fields: ['peer', 'address', 'reason'],
  },
  peerSilent: {
    severity: 'warn',
    text: 'a peer is silent and is dialled again',
    advice: 'Look whether its process hangs, or the network between the nodes drops packets.',
    fields: ['peer', 'address'],
  },
  silentConnectionReplaced: {
    severity: 'info',
    text: 'a new connection has taken the place of a silent one',
    fields: ['peer', 'address'],
  },
  peerHandshakeFailed: {
    severity: 'warn',
    text: 'a TLS handshake with who dialled the raft listener failed',
    advice: 'Look whether the certificate of that node is signed by raft.ca-filename and has not expired.',
    fields: ['from', 'reason'],
  },
  raftConnectionRefused: {
    severity: 'warn',
    text: 'the raft listener hung up on who does not speak its protocol',
    advice: 'Look what dials the raft address: only nodes of this cluster and this release are to.',
    fields: ['from', 'reason'],
  },
  raftAcceptFailed: {
    severity: 'warn',
    text: 'the raft listener could not accept a connection',
    advice: 'Look whether the process has descriptors left (ulimit -n).',
    fields: ['reason'],
  },
  peerMessageRefused: {
    severity: 'warn',
    text: 'a message of a peer was refused',
    advice:
      'Look whether a node of another cluster, or one with an older data directory, has the address of a member.',
    fields: ['peer', 'reason'],
  },

  tableMade: { severity: 'info', text: 'a table was made', fields: ['table', 'shardId', 'tables', 'first'] },
  tableReplaced: {
    severity: 'info',
    text: 'a table was replaced by another shard',
    fields: ['table', 'shardId', 'tables', 'first'],
  },
  tableDeleted: {
    severity: 'info',
    text: 'a table was deleted',
    fields: ['table', 'shardId', 'tables', 'first'],
  },
  tableLeaderLost: {
    severity: 'warn',
    text: 'a table has lost its leader',
    advice: 'If no table-has-leader follows within seconds, look which members are down: a quorum must run.',
    fields: ['table', 'shardId', 'tables', 'first', 'leader', 'term', 'was'],
  },
  tableHasLeader: {
    severity: 'info',
    text: 'a table has a leader',
    fields: ['table', 'shardId', 'tables', 'first', 'leader', 'term', 'was'],
  },
  groupLeaderChanged: {
    severity: 'debug',
    text: 'the leader of a group changed',
    fields: ['group', 'table', 'term', 'role', 'leader'],
  },
  leadershipHandedOver: {
    severity: 'info',
    text: 'leadership was handed over',
    fields: ['groups'],
  },
  leadershipKept: {
    severity: 'warn',
    text: 'leadership was not handed over everywhere',
    fields: ['groups', 'keptGroups'],
  },

  tableStopped: {
    severity: 'error',
    text: 'a table stopped: its log has a command that this version does not know',
    advice: 'Start the node with the release of the others.',
    fields: ['group', 'table', 'reason'],
  },
  tableFailed: {
    severity: 'error',
    text: 'a table failed and is opened again',
    fields: ['group', 'table', 'reason'],
  },
  tableDamaged: {
    severity: 'error',
    text: 'a table is damaged or has lost writes and is rebuilt from its peers',
    advice: 'Look for errors of the disk: files that were written have changed or are gone.',
    fields: ['group', 'table', 'reason'],
  },
  tableUnopened: {
    severity: 'error',
    text: 'a table cannot be opened and is tried again',
    advice: 'Remove the reason: permissions, descriptors and errors of the disk are the usual ones.',
    fields: ['group', 'table', 'reason'],
  },
  tableWithoutRoom: {
    severity: 'error',
    text: 'a table cannot be opened until there is room on the disk',
    advice: 'Free room on the disk, or enlarge it.',
    fields: ['group', 'table', 'reason'],
  },

  snapshotSent: {
    severity: 'info',
    text: 'a snapshot was sent to a peer',
    fields: ['group', 'table', 'peer', 'transferId'],
  },
  snapshotRefused: {
    severity: 'warn',
    text: 'a peer did not take a snapshot',
    fields: ['group', 'table', 'peer', 'transferId', 'reason'],
  },
  snapshotSendFailed: {
    severity: 'warn',
    text: 'sending a snapshot broke off',
    fields: ['group', 'table', 'peer', 'reason'],
  },
  snapshotReceived: {
    severity: 'info',
    text: 'a snapshot was received from a peer',
    fields: ['group', 'peer', 'index', 'transferId'],
  },
  snapshotUnneeded: {
    severity: 'info',
    text: 'a received snapshot was not needed any more',
    fields: ['group', 'peer', 'index', 'transferId'],
  },
  snapshotReceiveFailed: {
    severity: 'warn',
    text: 'receiving a snapshot broke off',
    fields: ['group', 'peer', 'reason'],
  },

  diskFull: {
    severity: 'error',
    text: 'the disk is full, or nearly: writes are refused until there is room',
    advice: 'Free room on the disk, or enlarge it. The node goes on by itself.',
    fields: ['disk', 'directory', 'freeBytes', 'wantedBytes'],
  },
  diskNearlyFull: {
    severity: 'warn',
    text: 'the disk is nearly full: writes go on for now',
    advice: 'Free room on the disk, or enlarge it, before writes are refused.',
    fields: ['disk', 'directory', 'freeBytes', 'wantedBytes'],
  },
  diskHasRoom: { severity: 'info', text: 'there is room on the disk again: writes are accepted' },
  logSyncSlow: {
    severity: 'warn',
    text: 'the disk is slow: writing the log took long',
    advice: 'Look what else uses the disk. Every write waits for such a sync.',
    fields: ['slowestMs', 'times'],
  },

  // This text has its advice within it: the traces of the simulator contain it.
  clockAhead: {
    severity: 'warn',
    text: "the clock of this node is far ahead of the members' clocks: it is not believed. Look at its time synchronisation",
    fields: ['aheadSeconds'],
  },
  clockJumped: {
    severity: 'warn',
    text: 'the clock of this node has jumped ahead: the new time counts once it has lasted a minute',
    advice: 'Look at its time synchronisation.',
    fields: ['aheadSeconds'],
  },
  clockBelieved: {
    severity: 'info',
    text: 'the clock of this node is believed again',
    fields: ['wasAheadSeconds'],
  },

  emptyMemberWaits: {
    severity: 'info',
    text: 'a member of wolf.raft with an empty disk waits until it knows what it may do',
    fields: ['group', 'table', 'reason'],
  },
  secondLeaderRefused: {
    severity: 'error',
    text: 'a second leader of one term of wolf.raft was refused',
    advice: 'Look whether two nodes have the same id, or one lost its disk.',
    fields: ['group', 'term', 'peer', 'reason'],
  },
});
