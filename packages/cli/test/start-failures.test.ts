import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Coxswain } from '@coxswain/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Command, freePorts, type Outcome, run, TemporaryDirectory } from './support/command.js';

let directory: TemporaryDirectory;
let flags: string[];
let ports: number[];
/** What a node leaves that has lived once. */
let lived: TemporaryDirectory;

function flagsOf({ path }: TemporaryDirectory, [api, rest, raft]: readonly number[]): string[] {
  return [
    'leader',
    '--config=',
    `--data-dir=${path}/data`,
    `--api.address=http://127.0.0.1:${api}`,
    `--rest.address=http://127.0.0.1:${rest}`,
    `--raft.address=127.0.0.1:${raft}`,
    '--replication.enabled=false',
    '--raft.wal-segment-size=16MiB',
  ];
}

beforeAll(async () => {
  lived = new TemporaryDirectory();
  await liveOnce(flagsOf(lived, await freePorts(3)));
});

afterAll(() => lived.remove());

beforeEach(async () => {
  directory = new TemporaryDirectory();
  ports = await freePorts(3);
  flags = flagsOf(directory, ports);
});

afterEach(() => directory.remove());

/** Gives the test's node the data of the one that has lived. */
function inherit(): void {
  cpSync(join(lived.path, 'data'), join(directory.path, 'data'), { recursive: true });
}

const pidFile = (): string => join(directory.path, 'data', 'coxswain.pid');

/** One clear line on stderr, no stack trace. */
function expectOneLine(outcome: Outcome, exitCode: number, line: RegExp): void {
  expect(outcome.stderr).toMatch(/^coxswain: [^\n]+\n$/);
  expect(outcome.stderr).toMatch(line);
  expect(outcome.stderr).not.toMatch(/ at .*:\d+:\d+/);
  expect(outcome.exitCode).toBe(exitCode);
}

/** Starts a node, waits until its cluster has formed, and stops it in order. */
async function liveOnce(args: readonly string[]): Promise<void> {
  const node = new Command(args);
  await node.prints('the cluster has formed');
  expect((await node.stop()).exitCode).toBe(0);
}

describe('a node that cannot start says why in one line, and loses nothing', () => {
  test('a port in use', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(ports[0], '127.0.0.1', resolve));
    const outcome = await run(flags);
    expectOneLine(
      outcome,
      1,
      new RegExp(`cannot open the api listener .*127\\.0\\.0\\.1:${ports[0]} is in use`),
    );
    await new Promise((resolve) => blocker.close(resolve));
    await liveOnce(flags);
  });

  test('a Raft port in use', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(ports[2], '127.0.0.1', resolve));
    expectOneLine(await run(flags), 1, /cannot open the raft listener.*in use/);
    await new Promise((resolve) => blocker.close(resolve));
  });

  test('a data directory that another process uses', async () => {
    const first = new Command(flags);
    await first.prints('the cluster has formed');
    const [api, rest, raft] = await freePorts(3);
    const second = await run([
      ...flags,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--raft.address=127.0.0.1:${raft}`,
    ]);
    expectOneLine(
      second,
      1,
      new RegExp(`the data directory .*/data is in use by process ${first.child.pid} of host \\S+: stop`),
    );
    expect(readFileSync(pidFile(), 'utf8')).toBe(`${first.child.pid}\n`);
    expect((await first.stop()).exitCode).toBe(0);
  });

  test('a directory for the log, or for the tables, that another node uses', async () => {
    const shared = join(directory.path, 'shared');
    const first = new Command([...flags, `--raft.wal-dir=${shared}`]);
    await first.prints('the cluster has formed');
    const tables = join(directory.path, 'data', 'tables');
    const [api, rest, raft] = await freePorts(3);
    const other = [
      ...flags,
      `--data-dir=${directory.path}/other`,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--raft.address=127.0.0.1:${raft}`,
    ];
    const held = `is in use by process ${first.child.pid} of host \\S+: stop`;
    expectOneLine(
      await run([...other, `--raft.wal-dir=${shared}`]),
      1,
      new RegExp(`the log's directory .*/shared ${held} .*--raft\\.wal-dir`),
    );
    expectOneLine(
      await run([...other, `--raft.state-machine-dir=${tables}`]),
      1,
      new RegExp(`the tables' directory .*/data/tables ${held} .*--raft\\.state-machine-dir`),
    );
    expect((await first.stop()).exitCode).toBe(0);
  });

  test('a data directory of a node that was killed is taken over, whatever its pid file says', async () => {
    const first = new Command(flags);
    await first.prints('the cluster has formed');
    await first.stop('SIGKILL');
    // The id of a process that runs, a time that is still to come: only the system's lock counts.
    writeFileSync(pidFile(), `${process.pid}\n`);
    const tomorrow = new Date(Date.now() + 86_400_000);
    utimesSync(pidFile(), tomorrow, tomorrow);
    const second = new Command(flags);
    await second.prints('the node has started');
    expect(readFileSync(pidFile(), 'utf8')).toBe(`${second.child.pid}\n`);
    expect((await second.stop()).exitCode).toBe(0);
  });

  test("the files of a node are their owner's alone, whatever the umask; a wider directory is named", async () => {
    const data = join(directory.path, 'data');
    const umask = process.umask(0);
    const elsewhere = ['wal', 'state-machine'].map(
      (part) => `--raft.${part}-dir=${directory.path}/of/${part}`,
    );
    try {
      await liveOnce(flags);
      await liveOnce([...flags, `--data-dir=${directory.path}/of/data`, ...elsewhere]);
    } finally {
      process.umask(umask);
    }
    const names = readdirSync(directory.path, { recursive: true }) as string[];
    const open = names.filter((name) => (statSync(join(directory.path, name)).mode & 0o077) !== 0);
    expect({ files: names.length > 20, open }).toEqual({ files: true, open: [] });

    chmodSync(data, 0o755);
    const node = new Command(flags);
    await node.prints('the node has started');
    await node.stop();
    expect(node.stdout.match(/chmod go= [^"]*/g)).toEqual([`chmod go= ${data}`]);
  });

  test('a data directory of another node id', async () => {
    inherit();
    const other = [...flags, '--raft.node-id=2', `--raft.initial-members=2=127.0.0.1:${ports[2]}`];
    expectOneLine(await run(other), 1, /data directory.*node 1/);
  });

  test('a data directory of a newer format', async () => {
    inherit();
    const file = join(directory.path, 'data', 'node.json');
    const content = JSON.parse(readFileSync(file, 'utf8')) as { format: number };
    writeFileSync(file, JSON.stringify({ ...content, format: content.format + 1 }));
    expectOneLine(await run(flags), 1, /format/);
  });

  test('a data directory that cannot be written', async () => {
    const file = join(directory.path, 'file');
    writeFileSync(file, '');
    expectOneLine(await run([...flags, `--data-dir=${file}`]), 1, /cannot use the data directory .*file/);
    // Root may write anywhere but where the kernel itself says no.
    const readOnly = process.getuid!() === 0 ? '/sys/coxswain' : join(directory.path, 'read-only');
    if (process.getuid!() !== 0) {
      mkdirSync(readOnly);
      chmodSync(readOnly, 0o500);
    }
    expectOneLine(await run([...flags, `--data-dir=${readOnly}/data`]), 1, /cannot use the data directory/);
  });

  test('a damaged table in a cluster that has no other copy (D4)', async () => {
    inherit();
    const shard = join(directory.path, 'data', 'tables', 'shard-1000');
    for (const name of readdirSync(shard)) if (name.startsWith('MANIFEST')) rmSync(join(shard, name));
    expectOneLine(
      await run(flags),
      1,
      /cannot open the tables in .*data\/tables: tables\/shard-1000 is damaged .*"coxswain restore".*MANIFEST/,
    );
  });

  test('a table that lost writes in a cluster that has no other copy (D4)', async () => {
    const node = new Command([...flags, '--tables.names=t']);
    await node.prints('the cluster has formed');
    const client = await Coxswain.connect({ endpoints: [`127.0.0.1:${ports[0]}`], timeoutMs: 60_000 });
    // The node makes it once the cluster has formed.
    while (!(await client.tables.list()).tables.some(({ name }) => name === 't'));
    for (let i = 0; i < 20; i++) await client.put('t', `key-${i}`, 'v'.repeat(10_000));
    client.close();
    await node.stop('SIGKILL');
    const shard = join(directory.path, 'data', 'tables', 'shard-10001');
    const log = join(shard, readdirSync(shard).find((name) => name.endsWith('.log'))!);
    const content = readFileSync(log);
    content[Math.floor(content.length / 2)]! ^= 1;
    writeFileSync(log, content);
    expectOneLine(
      await run(flags),
      1,
      /tables\/shard-10001 is damaged or has lost writes .*"coxswain restore"/,
    );
  });

  test('a broken configuration file, and an unknown key in it', async () => {
    const file = join(directory.path, 'config.yaml');
    writeFileSync(file, 'api:\n  address: [\n');
    expectOneLine(await run([...flags, `--config=${file}`]), 1, /config\.yaml:\d: not valid YAML/);
    writeFileSync(file, 'api:\n  adress: x\n');
    expectOneLine(await run([...flags, `--config=${file}`]), 1, /unknown key "api\.adress"/);
  });

  test('an unknown flag, and a flag with a bad value, are wrong usage', async () => {
    expectOneLine(await run([...flags, '--api.adress=x']), 2, /unknown option '--api\.adress=x'/);
    expectOneLine(await run([...flags, '--raft.rtt=soon']), 2, /--raft\.rtt: must be a duration/);
  });

  test('members that do not list the node', async () => {
    const members = '--raft.initial-members=2=127.0.0.1:1';
    expectOneLine(await run([...flags, members]), 1, /raft\.initial-members does not list this node: add 1=/);
  });
});
