import { join } from 'node:path';
import { TemporaryDirectory, until } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Cleanup } from '../src/process/cleanup.js';
import { ManagedProcess } from '../src/process/managed-process.js';

let directory: TemporaryDirectory;
beforeEach(() => {
  directory = new TemporaryDirectory();
});
afterEach(() => directory.remove());

function start(script: string): ManagedProcess {
  return new ManagedProcess('the program', process.execPath, ['-e', script], join(directory.path, 'log'));
}

async function untilOutput(program: ManagedProcess, expected: RegExp): Promise<string> {
  return until(`${expected} is printed`, () => {
    const [found] = expected.exec(program.output()) ?? [];
    if (found === undefined) program.assertRunning();
    return found;
  });
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
      await until('the child has ended', () => !isAlive(childId));
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
    const program = new ManagedProcess(
      'etcd-1',
      join(directory.path, 'missing'),
      [],
      join(directory.path, 'log'),
    );
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
