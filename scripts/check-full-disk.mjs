// Shows what real nodes do on really full disks, of which each is a small file system of its own: a node that is started
// with nothing or with 16 KiB left, one whose disk fills while it runs, a cluster of three with one such disk, the log
// and the tables on different disks, and a first start. What must hold is D6, as docs/operations.md says it.
//
//   npm run check:full-disk -- [--only PATTERN] [--file-system ext4|tmpfs]
//
// Needs Linux and root, to mount: an ext4 in a file where mkfs.ext4 is there, and a tmpfs. Where it cannot mount, it says
// so and checks nothing. Exits with 1 when something does not hold.
import { strict as assert } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NodeClient } from '../bench/dist/src/faults/node-client.js';
import { findFreePorts } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';

const command = fileURLToPath(new URL('../packages/cli/bin/coxswain.cjs', import.meta.url));
const TABLE_NAME = 'default';
/** Only keeps what hangs from hanging for ever. */
const HANGS_MS = 300_000;
const CALL_MS = 10_000;
const MEBIBYTE = 1024 * 1024;
const KIBIBYTE = 1024;
/** Of the nodes here: a node takes no writes with less than twice this left. */
const WRITE_BUFFER_BYTES = 4 * MEBIBYTE;
const DISK_BYTES = 160 * MEBIBYTE;

const values = checkOptions('npm run check:full-disk -- [--only PATTERN] [--file-system ext4|tmpfs]', {
  only: '',
  'file-system': '',
});

const directory = mkdtempSync(join(tmpdir(), 'coxswain-full-disk-'));
const undo = [() => rmSync(directory, { recursive: true, force: true })];
process.on('exit', () => {
  for (const step of undo.reverse()) step();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function run(program, ...args) {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (error || status !== 0) throw new Error(`${program}: ${error?.message ?? stderr.trim()}`);
}

/** A file system of its own, of a bounded size. */
class Disk {
  static #count = 0;

  constructor(kind) {
    const name = `${kind}-${++Disk.#count}`;
    this.path = join(directory, name);
    mkdirSync(this.path);
    if (kind === 'tmpfs')
      run('mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES},mode=700`, 'tmpfs', this.path);
    else {
      const image = join(directory, `${name}.image`);
      closeSync(openSync(image, 'w'));
      truncateSync(image, DISK_BYTES);
      // Without the blocks that ext4 keeps for root, who runs this.
      run('mkfs.ext4', '-q', '-b', '4096', '-m', '0', '-O', '^has_journal', image);
      run('mount', '-o', 'loop', image, this.path);
    }
    undo.push(() => spawnSync('umount', ['-l', this.path]));
  }

  get freeBytes() {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Takes all room but so much. */
  fill(leaveBytes) {
    const file = openSync(join(this.path, 'filler'), 'a');
    try {
      let size = fstatSync(file).size;
      // An ext4 keeps some blocks back until what was written has its places.
      do {
        for (const step of [MEBIBYTE, 64 * KIBIBYTE, 4 * KIBIBYTE]) {
          const zeros = Buffer.alloc(step);
          try {
            for (;;) size += writeSync(file, zeros);
          } catch (error) {
            if (error.code !== 'ENOSPC') throw error;
          }
          fsyncSync(file);
        }
      } while (this.freeBytes >= 4 * KIBIBYTE);
      if (leaveBytes > 0) {
        ftruncateSync(file, size - leaveBytes);
        fsyncSync(file);
      }
    } finally {
      closeSync(file);
    }
  }

  free() {
    rmSync(join(this.path, 'filler'), { force: true });
  }
}

/** One node's process, which may be started again on the same data. */
class TestNode {
  #client;

  constructor(id, flags, ports) {
    this.id = id;
    this.address = `127.0.0.1:${ports.api}`;
    this.flags = {
      'raft.node-id': id,
      'raft.address': `127.0.0.1:${ports.raft}`,
      'api.address': `http://${this.address}`,
      'rest.address': `http://127.0.0.1:${ports.rest}`,
      'replication.enabled': false,
      'raft.wal-segment-size': '16MiB',
      'raft.rtt': '100ms',
      'storage.write-buffer-size': WRITE_BUFFER_BYTES,
      'tables.names': TABLE_NAME,
      config: '',
      ...flags,
    };
  }

  start() {
    const args = Object.entries(this.flags).map(([name, value]) => `--${name}=${value}`);
    const child = spawn(process.execPath, [command, 'leader', ...args], { cwd: directory });
    this.child = child;
    this.output = '';
    this.stderr = '';
    child.stdout.on('data', (text) => {
      this.output += text;
    });
    child.stderr.on('data', (text) => {
      this.stderr += text;
    });
    this.ended = new Promise((done) => child.once('close', (code, signal) => done(code ?? signal)));
    undo.push(() => child.kill('SIGKILL'));
  }

  /** The log line that has this in it, once it is there. */
  async prints(text) {
    let line;
    await until(
      `node ${this.id} prints "${text}"`,
      () => {
        line = this.output.split('\n').find((candidate) => candidate.includes(text));
        if (line === undefined && this.child.exitCode !== null) throw new Error('the node has ended');
        return line !== undefined;
      },
      () => this.output + this.stderr,
    );
    return line;
  }

  get client() {
    this.#client ??= NodeClient.to(this.address, TABLE_NAME);
    return this.#client;
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    const how = await this.ended;
    this.#client?.close();
    this.#client = undefined;
    return how;
  }
}

async function until(what, holds, describe = () => '') {
  const deadlineMs = performance.now() + HANGS_MS;
  let last;
  for (;;) {
    try {
      if (await holds()) return;
      last = undefined;
    } catch (error) {
      last = error;
      if (error.message === 'the node has ended') break;
    }
    if (performance.now() > deadlineMs) break;
    await sleep(50);
  }
  throw new Error(`${what}: not so${last === undefined ? '' : ` (${last.message})`}\n${describe()}`);
}

const textOf = (node) => () => node.output + node.stderr;

/** Writes until acknowledged. */
const put = (node, key, value) =>
  until(
    `node ${node.id} takes a write`,
    async () => {
      const { kind, reason } = await node.client.put(key, value, CALL_MS);
      if (kind !== 'acknowledged') throw new Error(reason);
      return true;
    },
    textOf(node),
  );

async function expectRead(node, key, value) {
  let seen;
  await until(
    `node ${node.id} serves a local read`,
    async () => {
      const answer = await node.client.get(key, { linearizable: false, timeoutMs: CALL_MS });
      if (answer.kind !== 'answered') throw new Error(answer.reason);
      seen = answer.pair?.value;
      return true;
    },
    textOf(node),
  );
  assert.equal(seen, value, `a local read of node ${node.id}`);
}

async function expectRefused(node) {
  const { kind, reason } = await node.client.put('refused', 'x', CALL_MS);
  assert.equal(kind, 'unknown' === kind ? 'unknown' : 'refused', reason);
  assert.match(reason, /the disk .*full, or nearly: writes are refused until there is room/);
}

/** The log says which disk, how much room is there, and how much is wanted. */
function expectNamed(line, path) {
  const { directory: named, freeBytes, wantedBytes } = JSON.parse(line);
  assert.equal(named, path, line);
  assert.ok(Number.isInteger(freeBytes) && Number.isInteger(wantedBytes) && freeBytes < wantedBytes, line);
}

const FULL_TEXT = '"event":"disk-full"';
const ROOM_TEXT = '"event":"disk-has-room"';

async function makePorts(count) {
  const ports = await findFreePorts(3 * count);
  return Array.from({ length: count }, (_, i) => {
    const [raft, api, rest] = ports.slice(3 * i);
    return { raft, api, rest };
  });
}

async function oneNode(flags) {
  const [ports] = await makePorts(1);
  return new TestNode(1, flags, ports);
}

const scenarios = {};

for (const leaveBytes of [0, 16 * KIBIBYTE]) {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    scenarios[`a node is started with ${leaveBytes / 1024} KiB left after ${signal}`] = async (makeDisk) => {
      const disk = makeDisk();
      const data = join(disk.path, 'data');
      const node = await oneNode({ 'data-dir': data });
      node.start();
      await put(node, 'key', 'value');
      // So that LevelDB's log holds something that an open has to write elsewhere.
      for (let i = 0; i < 10; i++) await put(node, `large-${i}`, 'v'.repeat(100_000));
      await node.stop(signal);
      disk.fill(leaveBytes);
      for (let start = 1; start <= 3; start++) {
        node.start();
        expectNamed(await node.prints(FULL_TEXT), data);
        await expectRead(node, 'key', 'value');
        await expectRead(node, 'large-9', 'v'.repeat(100_000));
        await expectRefused(node);
        if (start < 3) {
          const how = await node.stop(signal);
          assert.equal(how, signal === 'SIGTERM' ? 0 : signal, node.output + node.stderr);
          disk.fill(leaveBytes);
        }
      }
      disk.free();
      await node.prints(ROOM_TEXT);
      await put(node, 'later', 'value');
      await expectRead(node, 'key', 'value');
      assert.equal(await node.stop(), 0);
    };
  }
}

scenarios['a disk fills while its node runs, and has room again'] = async (makeDisk) => {
  const disk = makeDisk();
  const data = join(disk.path, 'data');
  const node = await oneNode({ 'data-dir': data });
  node.start();
  await put(node, 'key', 'value');
  for (const leaveBytes of [0, 16 * KIBIBYTE, WRITE_BUFFER_BYTES]) {
    disk.fill(leaveBytes);
    expectNamed(await node.prints(FULL_TEXT), data);
    await expectRead(node, 'key', 'value');
    await expectRefused(node);
    disk.free();
    await node.prints(ROOM_TEXT);
    await put(node, `after-${leaveBytes}`, 'value');
    node.output = '';
  }
  assert.equal(await node.stop(), 0);
};

scenarios['a disk fills under load, and nothing that was acknowledged is lost'] = async (makeDisk) => {
  const disk = makeDisk();
  const node = await oneNode({ 'data-dir': join(disk.path, 'data') });
  node.start();
  await put(node, 'key', 'value');
  const acknowledged = [];
  let isOver = false;
  const load = (async () => {
    for (let i = 0; !isOver; i++) {
      const { kind } = await node.client.put(`load-${i}`, 'x'.repeat(50_000), CALL_MS);
      if (kind === 'acknowledged') acknowledged.push(i);
      else await sleep(50);
    }
  })();
  await until('some writes', () => acknowledged.length > 50);
  disk.fill(0);
  await node.prints(FULL_TEXT);
  await expectRead(node, 'key', 'value');
  await sleep(2000);
  await node.stop('SIGKILL');
  node.start();
  await node.prints(FULL_TEXT);
  disk.free();
  await node.prints(ROOM_TEXT);
  const before = acknowledged.length;
  await until('the load goes on', () => acknowledged.length > before + 20);
  isOver = true;
  await load;
  for (const i of acknowledged) await expectRead(node, `load-${i}`, 'x'.repeat(50_000));
  assert.equal(await node.stop(), 0);
};

for (const leaveBytes of [0, 16 * KIBIBYTE, MEBIBYTE]) {
  scenarios[`a first start with ${leaveBytes / 1024} KiB left`] = async (makeDisk) => {
    const disk = makeDisk();
    const data = join(disk.path, 'data');
    disk.fill(leaveBytes);
    const node = await oneNode({ 'data-dir': data });
    node.start();
    assert.equal(await node.ended, 1, node.output);
    assert.match(node.stderr, /^coxswain: [^\n]+\n$/);
    assert.ok(node.stderr.includes(data), node.stderr);
    assert.match(node.stderr, /no room|full/);
    assert.match(node.stderr, /\d+(\.\d)? ([KMG]i)?B/);
    disk.free();
    node.start();
    await put(node, 'key', 'value');
    assert.equal(await node.stop(), 0);
  };
}

for (const leaveBytes of [0, 16 * KIBIBYTE]) {
  scenarios[`one of three is started with ${leaveBytes / 1024} KiB left`] = async (makeDisk) => {
    const disk = makeDisk();
    const ports = await makePorts(3);
    const members = ports.map(({ raft }, i) => `${i + 1}=127.0.0.1:${raft}`).join(',');
    const place = mkdtempSync(join(directory, 'cluster-'));
    const data = (id) => (id === 3 ? join(disk.path, 'data') : join(place, `node-${id}`));
    const nodes = ports.map(
      (each, i) => new TestNode(i + 1, { 'data-dir': data(i + 1), 'raft.initial-members': members }, each),
    );
    const [first, , third] = nodes;
    for (const node of nodes) node.start();
    for (let i = 0; i < 10; i++) await put(third, `key-${i}`, 'v'.repeat(100_000));
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      await third.stop(signal);
      disk.fill(leaveBytes);
      third.start();
      expectNamed(await third.prints(FULL_TEXT), data(3));
      await expectRead(third, 'key-1', 'v'.repeat(100_000));
      // The others are a quorum.
      await put(first, `while-${signal}`, 'value');
      await expectRead(third, 'key-9', 'v'.repeat(100_000));
      disk.free();
      await third.prints(ROOM_TEXT);
      await until(
        'the node catches up',
        async () => {
          const answer = await third.client.get(`while-${signal}`, {
            linearizable: true,
            timeoutMs: CALL_MS,
          });
          return answer.pair?.value === 'value';
        },
        textOf(third),
      );
      await put(third, `after-${signal}`, 'value');
    }
    const hashes = await Promise.all(
      nodes.map(async ({ client }) => (await client.tables(CALL_MS)).get(TABLE_NAME)?.contentHash),
    );
    assert.ok(
      hashes.every((hash) => hash === hashes[0]),
      hashes.join(),
    );
    for (const node of nodes) assert.equal(await node.stop(), 0);
  };
}

for (const which of ['raft.wal-dir', 'raft.state-machine-dir']) {
  for (const leaveBytes of [0, 16 * KIBIBYTE]) {
    scenarios[`${which} on a disk of its own, started with ${leaveBytes / 1024} KiB left`] = async (
      makeDisk,
    ) => {
      const disk = makeDisk();
      const path = join(disk.path, 'own');
      const data = mkdtempSync(join(directory, 'data-'));
      const node = await oneNode({ 'data-dir': data, [which]: path });
      node.start();
      await put(node, 'key', 'value');
      for (let i = 0; i < 10; i++) await put(node, `large-${i}`, 'v'.repeat(100_000));
      for (const signal of ['SIGTERM', 'SIGKILL', undefined]) {
        if (signal !== undefined) await node.stop(signal);
        disk.fill(leaveBytes);
        if (signal !== undefined) node.start();
        if (which === 'raft.state-machine-dir') {
          expectNamed(await node.prints(FULL_TEXT), path);
          await expectRefused(node);
        }
        await expectRead(node, 'key', 'value');
        await expectRead(node, 'large-9', 'v'.repeat(100_000));
        disk.free();
        await put(node, `after-${signal}`, 'value');
        node.output = '';
      }
      assert.equal(await node.stop(), 0);
    };
  }
}

function whyNot(kind) {
  try {
    const disk = new Disk(kind);
    spawnSync('umount', [disk.path]);
    return undefined;
  } catch (error) {
    return error.message;
  }
}

let failed = 0;
let ran = 0;
for (const kind of ['ext4', 'tmpfs'].filter((name) => name.includes(values['file-system']))) {
  const reason = whyNot(kind);
  if (reason !== undefined) {
    console.log(`${kind}: left out, none can be mounted here (it takes Linux and root): ${reason}`);
    continue;
  }
  for (const [name, check] of Object.entries(scenarios)) {
    if (!new RegExp(values.only).test(name)) continue;
    ran++;
    const disks = [];
    const makeDisk = () => {
      const disk = new Disk(kind);
      disks.push(disk);
      return disk;
    };
    const startedMs = performance.now();
    const first = undo.length;
    try {
      await check(makeDisk);
      console.log(`${kind}: ${name}: holds (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      console.log(`${kind}: ${name}: DOES NOT HOLD: ${error.message}`);
    }
    // Processes first, then the disks that they used.
    for (const step of undo.splice(first).reverse()) step();
    await sleep(200);
    for (const disk of disks) spawnSync('umount', ['-l', disk.path]);
  }
}
if (ran === 0) console.log('nothing was checked');
process.exit(failed === 0 ? 0 : 1);
