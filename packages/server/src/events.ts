import { declareEvents } from '@coxswain/runtime';

const FIELDS = {
  address: 'The address that the listener has.',
  changed: 'What is in use from now on.',
  dataDirectory: 'Where its data is.',
  directories: 'The directories.',
  error: 'The error, and where it happened if it is a fault of Coxswain.',
  expires: 'When the certificate expires, or each of them.',
  file: 'The path of the file.',
  from: 'The IP address of the client.',
  kind: 'The certificate itself, or the authority.',
  leaderIndex: 'The entry that it ends with.',
  listener: 'The listener or link: api, replication, wolf, rest, raft, leader-cluster or clone.',
  needsRestart: 'The options that have changed and count from the next start on.',
  notice: 'What was found.',
  path: 'The method.',
  peer: 'The IP address of the follower.',
  reason: 'What went wrong.',
  signal: 'The signal that it got.',
  slowestMs: 'The slowest of these calls, in milliseconds.',
  table: 'The name of the table.',
  times: 'The calls of a second or longer since the last such event.',
  url: 'The URL of the receiver.',
  version: 'The release of Coxswain.',
};

/** Every kind of event of the process of a node, its listeners and its certificates, once. */
export const serverEvents = declareEvents(FIELDS, {
  configurationRead: {
    severity: 'info',
    text: 'the configuration file was read',
    fields: ['file'],
  },
  optionWithoutEffect: {
    severity: 'warn',
    text: 'a value of the configuration has no effect',
    advice: 'Take it out of the configuration, or do what the notice says.',
    fields: ['notice'],
  },
  configurationReloaded: {
    severity: 'info',
    text: 'SIGHUP: the configuration, certificates and tokens were read again',
    fields: ['changed', 'needsRestart'],
  },
  configurationUnusable: {
    severity: 'error',
    text: 'SIGHUP: nothing is changed, since the configuration cannot be read',
    advice: 'Mend the file and send SIGHUP again.',
    fields: ['reason'],
  },
  dataDirectoryOpen: {
    severity: 'warn',
    text: 'other users of this machine can enter directories of the data',
    advice: 'Run chmod go= on each directory.',
    fields: ['directories'],
  },
  nodeStarted: {
    severity: 'info',
    text: 'the node has started',
    fields: ['version', 'dataDirectory'],
  },
  nodeStopping: {
    severity: 'info',
    text: 'the node was asked to stop',
    fields: ['signal'],
  },
  nodeStopped: { severity: 'info', text: 'the node has stopped' },
  nodeFailed: {
    severity: 'error',
    text: 'the node stops: it cannot go on',
    advice: 'Do what the error says, and start the node again.',
    fields: ['error'],
  },

  listenerOpened: { severity: 'info', text: 'a listener is open', fields: ['listener', 'address'] },
  listenerNotOpened: {
    severity: 'warn',
    text: 'the replication listener is not open, and a follower cluster needs none',
    advice:
      'Before the cluster is promoted set replication.address to another address, and start the node again.',
    fields: ['reason'],
  },
  acceptFailed: {
    severity: 'error',
    text: 'a listener could not accept a connection',
    advice: 'Look whether the process has descriptors left (ulimit -n).',
    fields: ['listener', 'error'],
  },
  handshakeFailed: {
    severity: 'warn',
    text: 'a TLS handshake with a client failed',
    advice:
      'Look whether the client trusts the authority of this listener, and has a certificate that it asks for.',
    fields: ['listener', 'from', 'reason'],
  },
  certificatesReloaded: {
    severity: 'info',
    text: 'certificates were read again',
    fields: ['listener', 'expires'],
  },
  certificatesUnusable: {
    severity: 'error',
    text: 'replaced certificate files are not usable, and the old ones stay in use',
    advice: 'Put a certificate, a key and an authority there that belong together.',
    fields: ['listener', 'reason'],
  },
  certificateExpiring: {
    severity: 'warn',
    text: 'a certificate expires soon, or has expired',
    advice: 'Replace its files: the node reads them again by itself.',
    fields: ['listener', 'kind', 'expires'],
  },

  requestSlow: {
    severity: 'warn',
    text: 'a request was slow',
    advice: 'Look for log-sync-slow, for large transactions, and for who else uses processor and disk.',
    fields: ['path', 'slowestMs', 'times'],
  },
  callFailed: {
    severity: 'error',
    text: 'a call failed with an internal error',
    advice: 'Report it with the error: it is a fault of Coxswain.',
    fields: ['path', 'error'],
  },
  snapshotDownloaded: {
    severity: 'info',
    text: 'a follower cluster has downloaded a snapshot',
    fields: ['table', 'leaderIndex', 'peer'],
  },
  snapshotDownloadFailed: {
    severity: 'error',
    text: 'a download failed with an internal error',
    advice: 'Report it with the error: it is a fault of Coxswain.',
    fields: ['error'],
  },
  spansDropped: {
    severity: 'warn',
    text: 'spans of traces could not be sent, and were dropped',
    advice: 'Look at the receiver of tracing.endpoint, and at the network to it.',
    fields: ['url', 'reason'],
  },
});
