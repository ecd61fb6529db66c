import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory of this test's own, and how to remove it. */
export async function makeTemporaryDirectory(): Promise<{ path: string; dispose: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'coxswain-table-'));
  return { path, dispose: () => rm(path, { recursive: true, force: true }) };
}
