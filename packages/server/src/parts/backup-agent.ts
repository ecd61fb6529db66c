import { BackupAgent, defaultBackupAgentLimits } from '@coxswain/agents';
import { type Node, NodeSmallFiles, systemClock } from '@coxswain/node';
import { plainAddress } from '../config/listeners.js';
import type { DataPaths } from '../process/data-directory.js';
import { during } from '../process/during.js';
import type { Shared } from './shared.js';

/** Opens the listener of the Xtrabackup agent; returns undefined when none is configured. Rejects with StartError. */
export async function openBackupAgent(
  node: Node,
  { config, parts, tokens, backupRate, log }: Shared,
  paths: DataPaths,
): Promise<BackupAgent | undefined> {
  const given = config['backup-agent.address'];
  if (given === '') return undefined;
  const { host, port } = plainAddress(config, 'backup-agent.address');
  const token = tokens.of('maintenance.token');
  const agent = new BackupAgent(node, {
    ...defaultBackupAgentLimits,
    host,
    port,
    isPasswordRight: (password) => token.isRight(password),
    rate: backupRate,
    files: new NodeSmallFiles(paths.root),
    clock: systemClock,
    log,
  });
  parts.add('backup agent', { stop: () => agent.close() });
  await during(`open the backup agent listener at ${given}`, () => agent.listen());
  return agent;
}
