import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { claimPorts } from '@coxswain/testing';
import { regattaDialect, tableNames } from '../load/regatta-dialect.js';
import type { Cleanup } from '../process/cleanup.js';
import { ManagedProcess } from '../process/managed-process.js';
import { waitUntilReady } from './readiness.js';
import type { System } from './system.js';

const NODE_PORT_DISTANCE = 100;
const API_PORT = 8443;
/** The ports of the first node: API, replication, REST and Raft. */
const FIRST_NODE_PORTS = [API_PORT, 8444, 8079, 5012];
const PORT_OFFSET_STEP = 1_000;
const PORT_OFFSET_MAX = 40_000;
const READY_TIMEOUT_MS = 60_000;
const READY_TIMEOUT_MS_PER_TABLE = 300;
const POLL_INTERVAL_MS = 100;

const command = fileURLToPath(new URL('../../../../packages/cli/bin/coxswain.cjs', import.meta.url));

/**
 * Starts Coxswain nodes as `coxswain playground` does, with its defaults, on ports that are free.
 *
 * @param directory for their data and output.
 */
export async function startCoxswain(
  directory: string,
  { nodeCount, tableCount }: { readonly nodeCount: number; readonly tableCount: number },
  cleanup: Cleanup,
): Promise<System> {
  mkdirSync(directory, { recursive: true });
  const portOffset = await findPortOffset(nodeCount);
  const shape = ['--nodes', String(nodeCount), '--tables', tableNames(tableCount).join(',')];
  const place = ['--data-dir', join(directory, 'data'), '--port-offset', String(portOffset)];
  const args = ['playground', ...shape, ...place];
  const playground = new ManagedProcess(
    'coxswain playground',
    process.execPath,
    [command, ...args],
    join(directory, 'playground.log'),
  );
  await cleanup.defer(() => playground.stop());
  const assertRunning = (): void => playground.assertRunning();
  await waitForReadyLine(playground, READY_TIMEOUT_MS + tableCount * READY_TIMEOUT_MS_PER_TABLE);
  const endpoints = nodeIndices(nodeCount).map(
    (node) => `127.0.0.1:${API_PORT + node * NODE_PORT_DISTANCE + portOffset}`,
  );
  await waitUntilReady('coxswain', endpoints, regattaDialect, assertRunning);
  return {
    name: 'coxswain',
    version: findVersion(),
    dialect: 'regatta',
    endpoints,
    answersHoldData: true,
    processIds: [playground.processId],
    assertRunning,
  };
}

function findVersion(): string {
  const { stdout } = spawnSync(process.execPath, [command, 'version'], { encoding: 'utf8' });
  return /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? 'unknown';
}

async function waitForReadyLine(playground: ManagedProcess, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!/^ready/m.test(playground.output())) {
    playground.assertRunning();
    if (performance.now() > deadlineMs) {
      throw new Error(
        `coxswain playground is not ready after ${timeoutMs / 1000} s:\n${playground.output()}`,
      );
    }
    await sleep(POLL_INTERVAL_MS);
  }
}

async function findPortOffset(nodeCount: number): Promise<number> {
  for (let offset = PORT_OFFSET_STEP; offset <= PORT_OFFSET_MAX; offset += PORT_OFFSET_STEP) {
    const ports = nodeIndices(nodeCount).flatMap((node) =>
      FIRST_NODE_PORTS.map((port) => port + node * NODE_PORT_DISTANCE + offset),
    );
    if (await claimPorts(ports)) return offset;
  }
  throw new Error(`no port offset is free for ${nodeCount} nodes on 127.0.0.1`);
}

function nodeIndices(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
