import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePorts } from '@coxswain/testing';
import { regattaDialect } from '../load/regatta-dialect.js';
import type { Cleanup } from '../process/cleanup.js';
import { ManagedProcess } from '../process/managed-process.js';
import { waitUntilReady } from './readiness.js';
import type { System } from './system.js';

const NODE_COUNT = 3;
const PORTS_OF_A_NODE = 5;

const program = process.env['REGATTA'] || 'regatta';

/** Returns the installed version, such as `v0.5.2`, or undefined when Regatta is not installed. */
export function findRegattaVersion(): string | undefined {
  const { stdout, error } = spawnSync(program, ['version'], { encoding: 'utf8' });
  if (error) return undefined;
  // A binary that `go build` made reports that it does not know its version.
  return /Version: (v?\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? 'of an unknown version';
}

/**
 * Starts three Regatta nodes of a leader cluster on loopback with Regatta's own defaults.
 *
 * @param directory for their data and output.
 */
export async function startRegatta(directory: string, version: string, cleanup: Cleanup): Promise<System> {
  const ports = await findFreePorts(PORTS_OF_A_NODE * NODE_COUNT);
  const nodes = Array.from({ length: NODE_COUNT }, (_, index) => {
    const [api, replication, rest, raft, gossip] = ports
      .slice(PORTS_OF_A_NODE * index, PORTS_OF_A_NODE * (index + 1))
      .map((port) => `127.0.0.1:${port}`) as [string, string, string, string, string];
    return { id: index + 1, api, replication, rest, raft, gossip };
  });
  const initialMembers = nodes.map(({ id, raft }) => `${id}=${raft}`).join(',');
  const members = nodes.map(({ gossip }) => gossip).join(',');
  const processes = nodes.map(({ id, api, replication, rest, raft, gossip }) => {
    const name = `regatta-${id}`;
    const data = join(directory, name);
    mkdirSync(data, { recursive: true });
    const options = {
      'api.address': `http://${api}`,
      'api.advertise-address': `http://${api}`,
      'replication.address': `http://${replication}`,
      'rest.address': `http://${rest}`,
      'raft.address': raft,
      'raft.node-id': String(id),
      'raft.initial-members': initialMembers,
      'raft.node-host-dir': join(data, 'raft'),
      'raft.state-machine-dir': join(data, 'state'),
      'memberlist.address': gossip,
      'memberlist.advertise-address': gossip,
      'memberlist.members': members,
      'tables.names': 'default',
    };
    const args = ['leader', ...Object.entries(options).map(([option, value]) => `--${option}=${value}`)];
    return new ManagedProcess(name, program, args, join(directory, `${name}.log`));
  });
  for (const process of processes) await cleanup.defer(() => process.stop());
  function assertRunning(): void {
    for (const process of processes) process.assertRunning();
  }
  const endpoints = nodes.map(({ api }) => api);
  await waitUntilReady('regatta', endpoints, regattaDialect, assertRunning);
  return {
    name: 'regatta',
    version,
    dialect: 'regatta',
    endpoints,
    answersHoldData: true,
    processIds: processes.map(({ processId }) => processId),
    assertRunning,
  };
}
