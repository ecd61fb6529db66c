import { writeFileSync } from 'node:fs';
import { Coxswain, StatusCode } from '@coxswain/client';
import { findFreePorts } from '@coxswain/testing';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Command, TemporaryDirectory } from './support/command.js';

let directory: TemporaryDirectory;
let node: Command | undefined;

beforeEach(() => {
  directory = new TemporaryDirectory();
});

afterEach(async () => {
  await node?.stop();
  directory.remove();
});

test('SIGHUP reads tokens and the log level again, and one line says what changed and what needs a restart', async () => {
  const [api, rest, raft] = await findFreePorts(3);
  const config = `${directory.path}/config.yaml`;
  const tokenFile = `${directory.path}/token`;
  const write = (level: string, token: string, rtt: string) => {
    writeFileSync(config, `log-level: ${level}\nraft.rtt: ${rtt}\n`);
    writeFileSync(tokenFile, token);
  };
  write('info', 'first', '100ms');
  node = new Command(
    [
      'leader',
      `--config=${config}`,
      `--data-dir=${directory.path}/data`,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--raft.address=127.0.0.1:${raft}`,
      '--replication.enabled=false',
      '--raft.wal-segment-size=16MiB',
    ],
    { env: { COXSWAIN_TABLES_TOKEN_FILE: tokenFile } },
  );
  /** The line that a SIGHUP leads to; `nth` counts from 1. */
  const answer = async (nth: number): Promise<string> => {
    for (;;) {
      const lines = node!.stdout.split('\n').slice(0, -1);
      const answers = lines.filter((line) => line.includes('SIGHUP: read again'));
      if (answers.length >= nth) return answers[nth - 1]!;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  /** Whether a table is made with a token. */
  const create = async (name: string, token: string): Promise<boolean> => {
    const client = await Coxswain.connect({ endpoints: [`127.0.0.1:${api}`], token, timeoutMs: 60_000 });
    return client.tables
      .create(name)
      .then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: StatusCode.UNAUTHENTICATED });
          return false;
        },
      )
      .finally(() => client.close());
  };
  await node.prints('the node has started');
  await node.prints('the cluster has formed');
  expect(await create('before', 'first')).toBe(true);

  write('debug', 'second', '200ms');
  node.child.kill('SIGHUP');
  const line = await answer(1);
  expect(JSON.parse(line)).toMatchObject({
    changed: ['tables.token', 'log-level info -> debug'],
    needsRestart: ['raft.rtt'],
  });
  expect(line).not.toMatch(/first|second/);
  expect(await create('refused', 'first')).toBe(false);
  expect(await create('after', 'second')).toBe(true);

  // A file that was emptied by mistake opens nothing.
  write('debug', '', '200ms');
  node.child.kill('SIGHUP');
  expect(JSON.parse(await answer(2))).toMatchObject({ needsRestart: ['raft.rtt', 'tables.token'] });
  expect(await create('without', 'anything')).toBe(false);
  expect(await create('still', 'second')).toBe(true);
});
