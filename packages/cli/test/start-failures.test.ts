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
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Coxswain } from '@coxswain/client';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Command, type Outcome, run } from './support/command.js';
import { runHere } from './support/command-here.js';

/** What a table is stored in: nobody else here has to do with it. */
const { ClassicLevel } = createRequire(new URL('../../../table/package.json', import.meta.url))(
  'classic-level',
) as { readonly ClassicLevel: new (path: string, options: object) => Level };

interface Level {
  get(key: Buffer): Promise<Buffer | undefined>;
  put(key: Buffer, value: Buffer): Promise<void>;
  close(): Promise<void>;
}

let directory: TemporaryDirectory;
let ports: number[];

/** Starts with what a node that lives has in `path`; with directories of their own for its log and its tables. */
function flagsOf(path: string, [api, rest, raft]: readonly number[]): string[] {
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

const elsewhere = (path: string): string[] => [
  `--raft.wal-dir=${path}/of/wal`,
  `--raft.state-machine-dir=${path}/of/tables`,
];

beforeEach(async () => {
  directory = new TemporaryDirectory();
  ports = await findFreePorts(3);
});

afterEach(() => directory.remove());

/** Expects one clear line on stderr, and no stack trace. */
function expectOneLine(outcome: Outcome, exitCode: number, line: RegExp): void {
  expect(outcome.stderr).toMatch(/^coxswain: [^\n]+\n$/);
  expect(outcome.stderr).toMatch(line);
  expect(outcome.stderr).not.toMatch(/ at .*:\d+:\d+/);
  expect(outcome.exitCode).toBe(exitCode);
}

/** Returns the files and directories that others than their owner may use. */
function openTo(path: string): { files: boolean; open: string[] } {
  const names = readdirSync(path, { recursive: true }) as string[];
  const open = names.filter((name) => (statSync(join(path, name)).mode & 0o077) !== 0);
  return { files: names.length > 10, open };
}

/** Starts a node whose parent lets everybody read and write what it makes. */
function startOpenly(flags: readonly string[], before?: string): Command {
  const umask = process.umask(0);
  try {
    return new Command(flags, before === undefined ? {} : { before });
  } finally {
    process.umask(umask);
  }
}

const nothingIsOpen = { files: true, open: [] };

describe('a node that cannot start says why in one line, and loses nothing', () => {
  test('a port in use; a pid file that bears its own id, as a container gives it again, is no other process', async () => {
    const flags = flagsOf(directory.path, ports);
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(ports[0], '127.0.0.1', resolve));
    const outcome = await run(flags);
    expectOneLine(
      outcome,
      1,
      new RegExp(`cannot open the api listener .*127\\.0\\.0\\.1:${ports[0]} is in use`),
    );
    await new Promise((resolve) => blocker.close(resolve));
    const pidFile = join(directory.path, 'data', 'coxswain.pid');
    const node = startOpenly(flags, `echo $$ > '${pidFile}'`);
    await node.prints('"event":"cluster-formed"');
    expect(readFileSync(pidFile, 'utf8')).toBe(`${node.child.pid}\n`);
    // Alone, it has nobody to hand its groups over to, and says nothing of that.
    expect(await node.stop()).toMatchObject({
      exitCode: 0,
      stdout: expect.not.stringContaining('leadership'),
    });
    expect(openTo(directory.path)).toEqual(nothingIsOpen);
  });

  test('a Raft port in use', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(ports[2], '127.0.0.1', resolve));
    expectOneLine(await run(flagsOf(directory.path, ports)), 1, /cannot open the raft listener.*in use/);
    await new Promise((resolve) => blocker.close(resolve));
  });

  test('a data directory that cannot be written', async () => {
    const flags = flagsOf(directory.path, ports);
    const file = join(directory.path, 'file');
    writeFileSync(file, '');
    expectOneLine(
      await run([...flags, `--data-dir=${file}`]),
      1,
      /cannot use the data directory \S+: \S+ is a file, or lies in one: name a directory$/m,
    );
    // Root may write anywhere but where the kernel itself says no.
    const readOnly = process.getuid!() === 0 ? '/sys/coxswain' : join(directory.path, 'read-only');
    if (process.getuid!() !== 0) {
      mkdirSync(readOnly);
      chmodSync(readOnly, 0o500);
    }
    expectOneLine(await run([...flags, `--data-dir=${readOnly}/data`]), 1, /cannot use the data directory/);
  });

  // Refused before there is a node: within this process.
  test('a broken configuration file, and an unknown key in it', async () => {
    const flags = flagsOf(directory.path, ports);
    const file = join(directory.path, 'config.yaml');
    writeFileSync(file, 'api:\n  address: [\n');
    expectOneLine(await runHere([...flags, `--config=${file}`]), 1, /config\.yaml:\d: not valid YAML/);
    writeFileSync(file, 'api:\n  adress: x\n');
    expectOneLine(await runHere([...flags, `--config=${file}`]), 1, /unknown key "api\.adress"/);
  });

  test('an unknown flag, and a flag with a bad value, are wrong usage', async () => {
    const flags = flagsOf(directory.path, ports);
    expectOneLine(await runHere([...flags, '--api.adress=x']), 2, /unknown option '--api\.adress=x'/);
    expectOneLine(await runHere([...flags, '--raft.rtt=soon']), 2, /--raft\.rtt: must be a duration/);
  });

  test('members that do not list the node', async () => {
    const flags = flagsOf(directory.path, ports);
    const members = '--raft.initial-members=2=127.0.0.1:1';
    expectOneLine(await run([...flags, members]), 1, /raft\.initial-members does not list this node: add 1=/);
  });

  test('a follower cluster passes wolf.table over, which is for leader clusters', async () => {
    const flags = flagsOf(directory.path, ports).with(0, 'follower');
    const node = new Command([...flags, '--replication.leader-address=127.0.0.1:1', '--wolf.table=x']);
    await node.prints('wolf.table is accepted and has no effect');
    await node.prints('"event":"cluster-formed"');
    expect((await node.stop()).exitCode).toBe(0);
  });

  test('half of what a table over wolf.raft takes', async () => {
    const flags = flagsOf(directory.path, ports);
    const members = '--wolf.members=0=127.0.0.1:1';
    expectOneLine(await run([...flags, members]), 1, /wolf\.members needs wolf\.table/);
    expectOneLine(await run([...flags, '--wolf.address=127.0.0.1:1', members]), 1, /needs wolf\.table/);
    expectOneLine(await run([...flags, '--wolf.table=x', members]), 1, /wolf\.table needs wolf\.address/);
  });
});

describe('beside a node that runs, on what belongs to it', () => {
  /** Of the node, with its log and its tables elsewhere. */
  let its: { readonly place: TemporaryDirectory; readonly flags: readonly string[]; readonly node: Command };
  let api: number;

  beforeAll(async () => {
    const place = new TemporaryDirectory();
    const itsPorts = await findFreePorts(3);
    api = itsPorts[0]!;
    const archive = [
      `--archive.target=${pathToFileURL(join(place.path, 'archive'))}`,
      '--archive.object-age=50ms',
    ];
    const flags = [
      ...flagsOf(place.path, itsPorts),
      ...elsewhere(place.path),
      '--tables.names=t',
      ...archive,
    ];
    its = { place, flags, node: startOpenly(flags) };
    await its.node.prints('"event":"cluster-formed"');
  });

  afterAll(async () => {
    await its.node.stop('SIGKILL');
    its.place.remove();
  });

  const data = (): string => join(its.place.path, 'data');
  const pidFile = (): string => join(data(), 'coxswain.pid');

  /** The start of another node, on a copy of what that one has. */
  async function onCopy(
    damage: (path: string) => void | Promise<void>,
    flags: readonly string[] = [],
  ): Promise<Outcome> {
    cpSync(its.place.path, directory.path, { recursive: true });
    await damage(directory.path);
    return run([...flagsOf(directory.path, ports), ...elsewhere(directory.path), ...flags]);
  }

  test.each([
    ['data directory', (path: string) => [`--data-dir=${path}/data`], /the data directory .*\/data HELD/],
    [
      'directory for the log',
      (path: string) => [`--raft.wal-dir=${path}/of/wal`],
      /the log's directory .*\/of\/wal HELD .*--raft\.wal-dir/,
    ],
    [
      'directory for the tables',
      (path: string) => [`--raft.state-machine-dir=${path}/of/tables`],
      /the tables' directory .*\/of\/tables HELD .*--raft\.state-machine-dir/,
    ],
  ])('a %s that another process uses', async (_what, flags, line) => {
    const { pid } = its.node.child;
    const outcome = await run([...flagsOf(directory.path, ports), ...flags(its.place.path)]);
    const held = `is in use by process ${pid} of host \\S+: stop`;
    expectOneLine(outcome, 1, new RegExp(line.source.replace('HELD', held)));
    expect(readFileSync(pidFile(), 'utf8')).toBe(`${pid}\n`);
  });

  test("the files of a node, of a backup and of an archive are their owner's alone, whatever the umask", async () => {
    const client = await Coxswain.connect({ endpoints: [`127.0.0.1:${api}`], timeoutMs: 60_000 });
    await eventually('the node has made its table', async () =>
      (await client.tables.list()).tables.some(({ name }) => name === 't'),
    );
    await client.put('t', 'key', 'value');
    client.close();
    const filesOf = (name: string) =>
      readdirSync(join(its.place.path, name), { recursive: true }) as string[];
    await eventually('it has archived that', () => filesOf('archive').some((name) => name.includes('/log/')));
    const backup = ['backup', '--dir', join(its.place.path, 'backup'), '--endpoints', `127.0.0.1:${api}`];
    expect((await startOpenly(backup).ended).exitCode).toBe(0);
    expect(filesOf('backup').sort()).toEqual(['manifest.json', 't.bak']);
    expect(openTo(its.place.path)).toEqual(nothingIsOpen);
  });

  describe('after it was killed', () => {
    beforeAll(async () => {
      const client = await Coxswain.connect({ endpoints: [`127.0.0.1:${api}`], timeoutMs: 60_000 });
      await eventually('the node has made its table', async () =>
        (await client.tables.list()).tables.some(({ name }) => name === 't'),
      );
      for (let i = 0; i < 20; i++) await client.put('t', `key-${i}`, 'v'.repeat(10_000));
      client.close();
      await its.node.stop('SIGKILL');
    });

    test('a data directory of another node id', async () => {
      const other = ['--raft.node-id=2', `--raft.initial-members=2=127.0.0.1:${ports[2]}`];
      expectOneLine(await onCopy(() => undefined, other), 1, /data directory.*node 1/);
    });

    test('a data directory of a newer format', async () => {
      const outcome = await onCopy((path) => {
        const file = join(path, 'data', 'node.json');
        const content = JSON.parse(readFileSync(file, 'utf8')) as { format: number };
        writeFileSync(file, JSON.stringify({ ...content, format: content.format + 1 }));
      });
      expectOneLine(outcome, 1, /format/);
    });

    test('a damaged table in a cluster that has no other copy (D4)', async () => {
      const outcome = await onCopy((path) => {
        const shard = join(path, 'of', 'tables', 'shard-1000');
        for (const name of readdirSync(shard)) if (name.startsWith('MANIFEST')) rmSync(join(shard, name));
      });
      expectOneLine(
        outcome,
        1,
        /cannot open the tables in .*of\/tables: tables\/shard-1000 is damaged .*"coxswain restore".*MANIFEST/,
      );
    });

    test('a table that lost writes in a cluster that has no other copy (D4)', async () => {
      const outcome = await onCopy(async (path) => {
        const table = new ClassicLevel(join(path, 'of', 'tables', 'shard-10001'), {
          keyEncoding: 'buffer',
          valueEncoding: 'buffer',
        });
        const batch = (number: number): Buffer =>
          Buffer.from(`4e${number.toString(16).padStart(16, '0')}`, 'hex');
        // One that follows three which are not there.
        await table.put(batch(5), (await table.get(batch(1)))!);
        await table.close();
      });
      expectOneLine(outcome, 1, /tables\/shard-10001 is damaged or has lost writes .*"coxswain restore"/);
    });

    test('its data directory is taken over, whatever its pid file says; one that others may read is named', async () => {
      // The id of a process that runs, a time that is still to come: only the system's lock counts.
      writeFileSync(pidFile(), `${process.pid}\n`);
      const tomorrow = new Date(Date.now() + 86_400_000);
      utimesSync(pidFile(), tomorrow, tomorrow);
      chmodSync(data(), 0o755);
      const second = new Command(its.flags);
      await second.prints('"event":"node-started"');
      expect(readFileSync(pidFile(), 'utf8')).toBe(`${second.child.pid}\n`);
      const { exitCode, stdout } = await second.stop();
      expect(exitCode).toBe(0);
      const named = stdout.split('\n').filter((line) => line.includes('"event":"data-directory-open"'));
      expect(named.map((line) => JSON.parse(line) as object)).toMatchObject([{ directories: [data()] }]);
    });
  });
});
