import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { LevelStoreDirectory } from '../src/index.js';

const options = { writeBufferSizeBytes: 1 << 20, cacheSizeBytes: 1 << 20 };
const NOBODY = 65_534;
const NAME = 'shard-1';

let path: string;
let temporary: TemporaryDirectory;
let directory: LevelStoreDirectory;

beforeEach(async () => {
  temporary = new TemporaryDirectory();
  ({ path } = temporary);
  directory = await LevelStoreDirectory.open(path, options);
  const store = await directory.open(NAME, { create: true });
  await store.write([{ storeKey: Buffer.from('Lkey'), record: Buffer.from('value') }]);
  await store.close();
});

afterEach(() => temporary.remove());

const file = (pattern: RegExp) => {
  const store = join(path, NAME);
  return join(store, readdirSync(store).find((each) => pattern.test(each))!);
};

/** Runs as somebody whom file modes stop, with no permission for one file: root may do everything. */
async function withoutPermissionFor(forbidden: string, act: () => Promise<void>): Promise<void> {
  const isRoot = process.getuid!() === 0;
  const store = join(path, NAME);
  if (isRoot) for (const each of [path, store]) chmodSync(each, 0o777);
  if (isRoot) for (const each of readdirSync(store)) chmodSync(join(store, each), 0o666);
  chmodSync(forbidden, 0);
  if (isRoot) process.seteuid!(NOBODY);
  try {
    await act();
  } finally {
    if (isRoot) process.seteuid!(0);
  }
}

const open = () => directory.open(NAME, { create: false });

describe('what LevelDB calls an "IO error" is judged: each kind has its own text (D4, D6)', () => {
  test('a file without permission', async () => {
    await withoutPermissionFor(file(/^CURRENT$/), () =>
      expect(open()).rejects.toMatchObject({
        code: 'storeUnusable',
        obstacle: 'permission',
        message: expect.stringContaining(
          'there is no permission for its files: correct their owner and mode',
        ),
      }),
    );
  });

  test('a log that cannot be read is skipped: an earlier state, which the write-ahead log brings up to date', async () => {
    await withoutPermissionFor(file(/\.log$/), async () => {
      const store = await open();
      expect(store.getSync(Buffer.from('Lkey'))).toBeUndefined();
      await store.close();
    });
  });

  test('no descriptors left', () => {
    const module = new URL('../src/index.js', import.meta.url).href;
    const script = `
      import { openSync } from 'node:fs';
      import { LevelStoreDirectory } from ${JSON.stringify(module)};
      const directory = await LevelStoreDirectory.open(${JSON.stringify(path)}, ${JSON.stringify(options)});
      try {
        for (;;) openSync('/dev/null');
      } catch {}
      const error = await directory.open(${JSON.stringify(NAME)}, { create: false }).catch((error) => error);
      console.log(error.code, error.obstacle, error.message);
    `;
    const node = [process.execPath, '--input-type=module', '--eval', script];
    // As many as Node itself may need while it loads the modules; the script takes what is left.
    const limited = spawnSync('sh', ['-c', 'ulimit -n 512; exec "$0" "$@"', ...node], { encoding: 'utf8' });
    expect(limited.stderr).toBe('');
    expect(limited.stdout).toMatch(
      /^storeUnusable descriptors .*has no file descriptors left: raise its limit \(ulimit -n, LimitNOFILE\)/,
    );
  });

  test('another process has it', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({ code: 'storeUnusable', obstacle: 'inUse' });
    await store.close();
  });

  test('files that are missing', async () => {
    rmSync(file(/^MANIFEST/));
    await expect(open()).rejects.toMatchObject({ code: 'storeDamaged' });
  });
});
