import { writeFileSync } from 'node:fs';
import { Coxswain, StatusCode } from '@coxswain/client';
import { findFreePorts, TemporaryDirectory, until } from '@coxswain/testing';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Command } from './support/command.js';
import { type SelfSigned, selfSigned } from './support/self-signed.js';

let directory: TemporaryDirectory;
let node: Command | undefined;

beforeEach(() => {
  directory = new TemporaryDirectory();
});

afterEach(async () => {
  await node?.stop();
  directory.remove();
});

test('SIGHUP reads certificates, tokens and the log level again, and one line says what changed and what needs a restart', async () => {
  const [api, rest, raft] = await findFreePorts(3);
  const config = `${directory.path}/config.yaml`;
  const tokenFile = `${directory.path}/token`;
  const write = (level: string, token: string, rtt: string) => {
    writeFileSync(config, `log-level: ${level}\nraft.rtt: ${rtt}\n`);
    writeFileSync(tokenFile, token);
  };
  const [certFile, keyFile] = [`${directory.path}/cert.pem`, `${directory.path}/key.pem`];
  const show = ({ cert, key }: SelfSigned) => {
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };
  write('info', 'first', '100ms');
  show(selfSigned[0]);
  node = new Command(
    [
      'leader',
      `--config=${config}`,
      `--data-dir=${directory.path}/data`,
      `--api.address=https://127.0.0.1:${api}`,
      `--api.cert-filename=${certFile}`,
      `--api.key-filename=${keyFile}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--raft.address=127.0.0.1:${raft}`,
      '--replication.enabled=false',
      '--raft.wal-segment-size=16MiB',
    ],
    { env: { COXSWAIN_TABLES_TOKEN_FILE: tokenFile } },
  );
  /** Resolves with the line that a SIGHUP leads to; `nth` counts from 1. */
  const answer = (nth: number): Promise<string> =>
    until(`SIGHUP is answered ${nth} times`, () => {
      const lines = node!.stdout.split('\n').slice(0, -1);
      return lines.filter((line) => line.includes('"event":"configuration-reloaded"'))[nth - 1];
    });
  /** Whether a table can be made with a token, by a client that trusts one certificate alone. */
  const create = async (name: string, token: string, { cert }: SelfSigned): Promise<boolean> => {
    const client = await Coxswain.connect({
      endpoints: [`https://127.0.0.1:${api}`],
      tls: { ca: Buffer.from(cert) },
      token,
      timeoutMs: 60_000,
    });
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
  await node.prints('"event":"node-started"');
  await node.prints('"event":"cluster-formed"');
  expect(await create('before', 'first', selfSigned[0])).toBe(true);
  // A line at debug.
  const elected = '"event":"group-leader-changed"';
  expect(node.stdout).not.toContain(elected);

  write('debug', 'second', '200ms');
  // No handshake comes before the signal, which alone has them read.
  show(selfSigned[1]);
  node.child.kill('SIGHUP');
  const line = await answer(1);
  expect(JSON.parse(line)).toMatchObject({
    changed: ['certificates of api', 'tables.token', 'log-level info -> debug'],
    needsRestart: ['raft.rtt'],
  });
  expect(line).not.toMatch(/first|second/);
  expect(await create('refused', 'first', selfSigned[1])).toBe(false);
  expect(await create('after', 'second', selfSigned[1])).toBe(true);
  await node.prints(elected);

  // A file that was emptied by mistake opens nothing.
  write('debug', '', '200ms');
  node.child.kill('SIGHUP');
  expect(JSON.parse(await answer(2))).toMatchObject({ needsRestart: ['raft.rtt', 'tables.token'] });
  expect(await create('without', 'anything', selfSigned[1])).toBe(false);
  expect(await create('still', 'second', selfSigned[1])).toBe(true);

  const { stdout } = await node.stop();
  expect(stdout).toContain('"event":"node-stopping","signal":"SIGTERM"');
});
