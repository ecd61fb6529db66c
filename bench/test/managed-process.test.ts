import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Cleanup } from '../src/process/cleanup.js';
import { ManagedProcess } from '../src/process/managed-process.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bench-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function start(script: string): ManagedProcess {
  return new ManagedProcess('the program', process.execPath, ['-e', script], join(directory, 'log'));
}

async function untilOutput(program: ManagedProcess, expected: RegExp): Promise<string> {
  for (;;) {
    const found = expected.exec(program.output());
    if (found) return found[0];
    program.assertRunning();
    await sleep(5);
  }
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

describe('a managed process', () => {
  test.each([false, true])(
    'takes the children with it that it leaves behind (detached: %s)',
    async (detached) => {
      const program = start(`
      const child = require('node:child_process').spawn(
        process.execPath,
        ['-e', 'setTimeout(() => {}, 20_000)'],
        { detached: ${detached} },
      );
      console.log('child ' + child.pid + '.');
      process.on('SIGTERM', () => process.exit());
    `);
      const childId = Number(/\d+/.exec(await untilOutput(program, /child \d+\./))![0]);
      expect(isAlive(childId)).toBe(true);
      await program.stop();
      expect(isAlive(program.processId)).toBe(false);
      while (isAlive(childId)) await sleep(5);
    },
  );

  test('that ends by itself is reported with its last words', async () => {
    const program = start(`console.error('no more disk'); process.exit(7)`);
    await expect(untilOutput(program, /never printed/)).rejects.toThrow(
      /the program ended with code 7:.*no more disk/s,
    );
    await program.stop();
  });

  test('that cannot be started is reported by name', async () => {
    const program = new ManagedProcess('etcd-1', join(directory, 'missing'), [], join(directory, 'log'));
    await expect(untilOutput(program, /never printed/)).rejects.toThrow(/etcd-1 ended with .*ENOENT/);
    await program.stop();
  });
});

describe('the cleanup', () => {
  test('runs every step, last first, also when one fails', async () => {
    const done: number[] = [];
    const cleanup = new Cleanup();
    for (const step of [1, 2, 3]) {
      await cleanup.defer(async () => {
        done.push(step);
        if (step === 2) throw new Error('stuck');
      });
    }
    await expect(cleanup.run()).rejects.toThrow('cleaning up failed');
    expect(done).toEqual([3, 2, 1]);
  });

  test('stops at once what is started too late', async () => {
    const cleanup = new Cleanup();
    await cleanup.run();
    let isStopped = false;
    await cleanup.defer(async () => {
      isStopped = true;
    });
    expect(isStopped).toBe(true);
  });
});
