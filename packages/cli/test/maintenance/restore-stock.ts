import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { StockMaintenance } from './stock-maintenance.js';

// Registers the tests of ./maintenance-commands.test.ts.
export function restoreStock(): void {
  const NAMES = Array.from({ length: 9 }, (_, index) => `t${index + 1}`);

  let stock: StockMaintenance;
  let directory: TemporaryDirectory;
  let content: Map<string, Buffer>;

  beforeEach(async () => {
    stock = await StockMaintenance.start();
    directory = new TemporaryDirectory();
    content = new Map(NAMES.map((name) => [name, randomBytes(5_000)]));
    const tables = [...content].map(([name, bytes]) => {
      writeFileSync(join(directory.path, `${name}.bak`), bytes);
      return { name, file_name: `${name}.bak`, md5: createHash('md5').update(bytes).digest('hex') };
    });
    const time = new Date(0).toISOString();
    writeFileSync(
      join(directory.path, 'manifest.json'),
      JSON.stringify({ started: time, finished: time, tables }),
    );
  });

  afterEach(() => {
    stock.stop();
    directory.remove();
  });

  const restore = () =>
    runHere(['restore', '--dir', directory.path, '--parallel', '4', '--yes', '--endpoints', stock.address]);

  test('nine tables go into a stock server one after another, and what it does not say is not made up', async () => {
    const outcome = await restore();
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    expect(stock.tables).toEqual(content);
    expect(stock.parallelMax).toBe(1);
    expect(outcome.stdout).toBe(NAMES.map((name) => `${name}, unknown keys, unknown revision\n`).join(''));
  });

  test('a table that a stock server refuses for another change of its tables is sent again', async () => {
    stock.foreignWrites = 5;
    expect(await restore()).toMatchObject({ exitCode: 0, stderr: '' });
    expect(stock.tables).toEqual(content);
    expect(stock.restoreCount).toBe(NAMES.length + 5);
  });

  test('one that it goes on refusing is given up, with the table as it was', async () => {
    stock.foreignWrites = Number.POSITIVE_INFINITY;
    const { exitCode, stderr } = await restore();
    expect(exitCode).toBe(1);
    expect(stderr).toBe(
      "coxswain: restore of table 't1' failed: another change of the tables came first (version mismatch): the table is as it was; tables restored: none\n",
    );
    expect(stock.restoreCount).toBe(8);
    expect(stock.tables.size).toBe(0);
  });
}
