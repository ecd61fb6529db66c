// Which workspace may use which (ARCHITECTURE.md, "The folders are the architecture"). Imports
// point downward only, so every list names workspaces that stand below its owner.

/** What the code that ships may import. */
export const layers = {
  protocol: [],
  raft: [],
  runtime: [],
  http2: [],
  testing: ['protocol', 'runtime'],
  wal: ['raft'],
  stream: ['protocol'],
  channel: ['http2'],
  table: ['protocol', 'stream'],
  wolf: ['protocol', 'raft', 'stream', 'table'],
  node: ['protocol', 'raft', 'runtime', 'wal', 'table', 'wolf'],
  replication: ['protocol', 'runtime', 'stream', 'table', 'node', 'channel'],
  backup: ['protocol', 'runtime', 'stream', 'table', 'node', 'replication'],
  archive: ['protocol', 'runtime', 'stream', 'table', 'node', 'replication', 'backup'],
  agents: ['protocol', 'runtime', 'stream', 'table', 'node', 'replication', 'backup', 'archive'],
  server: [
    ...[
      'protocol',
      'runtime',
      'stream',
      'wal',
      'table',
      'node',
      'replication',
      'backup',
      'archive',
      'agents',
    ],
    'http2',
  ],
  client: ['protocol', 'channel'],
  cli: ['protocol', 'runtime', 'stream', 'client', 'server', 'backup', 'archive', 'agents'],
  simulator: ['protocol', 'raft', 'runtime', 'stream', 'wal', 'table', 'node', 'replication', 'testing'],
  bench: ['protocol', 'http2', 'client', 'testing'],
};

/** What tests may import in addition: a service is tested through the client that applications use. */
export const testLayers = {
  wal: ['testing'],
  table: ['testing'],
  // Its rules are tried in simulated clusters: test/rules is a project of its own, which stands above the simulator.
  node: ['testing', 'replication', 'simulator'],
  http2: ['testing'],
  channel: ['testing'],
  replication: ['testing'],
  backup: ['testing'],
  archive: ['testing'],
  agents: ['testing'],
  server: ['client', 'testing'],
  client: ['testing'],
  cli: ['testing'],
};

/** The folder of a workspace, relative to the root. */
export function folderOf(workspace) {
  return workspace === 'bench' ? 'bench' : `packages/${workspace}`;
}
