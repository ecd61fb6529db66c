// Which workspace may use which: the folder list is the architecture (architecture.md section 1). Imports
// point downward only, so every list names workspaces that stand below its owner.

/** What the code that ships may import. */
export const layers = {
  protocol: [],
  raft: [],
  wal: ['raft'],
  table: ['protocol'],
  wolf: ['protocol', 'raft', 'table'],
  node: ['protocol', 'raft', 'wal', 'table', 'wolf'],
  http2: [],
  channel: ['http2'],
  testing: [],
  replication: ['protocol', 'table', 'node', 'channel'],
  maintenance: ['protocol', 'table', 'node', 'replication'],
  server: ['protocol', 'raft', 'wal', 'table', 'node', 'replication', 'maintenance', 'http2'],
  client: ['protocol', 'channel'],
  cli: ['protocol', 'client', 'server', 'maintenance'],
  simulator: ['protocol', 'raft', 'wal', 'table', 'node', 'replication'],
  bench: ['protocol', 'http2', 'client', 'testing'],
};

/** What tests may import in addition: a service is tested through the client that applications use. */
export const testLayers = {
  table: ['testing'],
  node: ['testing'],
  http2: ['testing'],
  replication: ['testing'],
  maintenance: ['testing'],
  server: ['client', 'testing'],
  cli: ['testing'],
};

/** The folder of a workspace, relative to the root. */
export function folderOf(workspace) {
  return workspace === 'bench' ? 'bench' : `packages/${workspace}`;
}
