import { readFileSync } from 'node:fs';
import { ConfigError, type LoadedConfig, loadConfig } from '@coxswain/server';
import { failure, usageError } from './exit.js';

/**
 * Loads the configuration of a node, as its commands do, from flags, environment and file. Throws usage errors and
 * failures.
 */
export function loadNodeConfig(
  role: 'leader' | 'follower',
  flags: Readonly<Record<string, string | boolean>>,
  configFile: string | undefined,
  environment: NodeJS.ProcessEnv,
): LoadedConfig {
  try {
    return loadConfig({ flags, environment, configFile, readFile: readFileIfAny }, role);
  } catch (error) {
    if (error instanceof ConfigError)
      throw error.isUsage ? usageError(error.message) : failure(error.message);
    throw error;
  }
}

function readFileIfAny(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
