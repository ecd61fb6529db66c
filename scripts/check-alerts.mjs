// Shows that each alert of deploy/prometheus/alerts.yml fires when its fault is there: real nodes, a real Prometheus that
// scrapes them each second, and real faults: SIGKILL, SIGSTOP, file systems that are full or frozen, certificates that are
// wrong or near their end, a cut link, a store that is away, a clock that jumps, a heap that is small. The rules are those
// of the file with a `for` of 1 s. Before the first fault, and after each that can be mended, no other alert may fire.
//
//   npm run check:alerts -- [--only PATTERN]
//
// Needs the commands prometheus and openssl, and for faults of disks Linux and root, to mount. Where something is not
// there it says what it leaves out. Prints for each alert whether it fired, and the seconds from its fault until then;
// exits with 1 when one did not.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NodeClient } from '../bench/dist/src/faults/node-client.js';
import { findFreePorts, ScriptedS3 } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';

const MEBIBYTE = 1024 * 1024;
const TABLE_NAME = 'default';
/** The longest time in milliseconds from a fault to its alert, that of the rules' own limits (60 s of lag) included. */
const FIRES_MS = 120_000;
const CALL_MS = 2_000;
const root = fileURLToPath(new URL('..', import.meta.url));
const command = join(root, 'packages/cli/bin/coxswain.cjs');

const { only } = checkOptions('npm run check:alerts -- [--only PATTERN]', { only: '' });

const isInstalled = (program) => spawnSync(program, ['--version']).error === undefined;
for (const program of ['prometheus', 'openssl']) {
  if (isInstalled(program)) continue;
  console.log(`nothing was checked: the command ${program} is not installed`);
  process.exit(0);
}

const directory = mkdtempSync(join(tmpdir(), 'coxswain-alerts-'));
const undo = [() => rmSync(directory, { recursive: true, force: true })];
process.on('exit', () => {
  for (const step of undo.reverse()) step();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function run(program, ...args) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: directory });
  if (error || status !== 0) throw new Error(`${program} ${args[0]}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/** Thrown for a node that will not answer any more. */
class Ended extends Error {}

async function until(what, holds, withinMs = FIRES_MS) {
  const deadlineMs = performance.now() + withinMs;
  let reason = '';
  while (performance.now() < deadlineMs) {
    try {
      if (await holds()) return;
    } catch (error) {
      if (error instanceof Ended) throw error;
      reason = ` (${error.message})`;
    }
    await sleep(200);
  }
  throw new Error(`${what}: not so${reason}`);
}

// ---- certificates

function makeAuthority(name) {
  const [key, cert] = [`${name}.key`, `${name}.pem`];
  run(
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '300',
    '-keyout',
    key,
    '-out',
    cert,
    '-subj',
    `/CN=${name}`,
  );
  return { key: join(directory, key), cert: join(directory, cert) };
}

/** A certificate for 127.0.0.1 that is valid for so many days. */
function issue(authority, name, days) {
  const file = (ending) => join(directory, `${name}.${ending}`);
  writeFileSync(file('ext'), 'subjectAltName=IP:127.0.0.1\n');
  run(
    'openssl',
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    file('key'),
    '-out',
    file('csr'),
    '-subj',
    `/CN=${name}`,
  );
  run(
    'openssl',
    'x509',
    '-req',
    '-in',
    file('csr'),
    '-CA',
    authority.cert,
    '-CAkey',
    authority.key,
    '-CAcreateserial',
    '-days',
    String(days),
    '-extfile',
    file('ext'),
    '-out',
    file('pem'),
  );
  return { 'raft.cert-filename': file('pem'), 'raft.key-filename': file('key') };
}

// ---- disks

/** A file system of its own, on which writes can be held up. */
function mountDisk(name, sizeBytes) {
  const path = join(directory, name);
  mkdirSync(path);
  const image = `${path}.image`;
  closeSync(openSync(image, 'w'));
  truncateSync(image, sizeBytes);
  run('mkfs.ext4', '-q', '-b', '4096', '-m', '0', image);
  run('mount', '-o', 'loop', image, path);
  undo.push(() => {
    spawnSync('fsfreeze', ['-u', path]);
    spawnSync('umount', ['-l', path]);
  });
  const freeBytes = () => {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  };
  return {
    path,
    /** Takes all room but so much. */
    fill(leaveBytes) {
      const file = openSync(join(path, 'filler'), 'a');
      const zeros = Buffer.alloc(256 * 1024);
      try {
        while (freeBytes() > leaveBytes + zeros.length) {
          writeSync(file, zeros);
          fsyncSync(file);
        }
      } catch (error) {
        if (error.code !== 'ENOSPC') throw error;
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(join(path, 'filler'), { force: true }),
    async freeze(forMs) {
      run('fsfreeze', '-f', path);
      await sleep(forMs);
      run('fsfreeze', '-u', path);
    },
  };
}

function whyNoDisks() {
  try {
    mountDisk('trial', 16 * MEBIBYTE);
    run('fsfreeze', '--version');
    return undefined;
  } catch (error) {
    return error.message;
  }
}

// ---- processes

/** The clock of a node that has loaded this runs an hour ahead from SIGUSR2 on. */
const clockShim = join(directory, 'clock.cjs');
writeFileSync(
  clockShim,
  `const real = Date.now; let aheadMs = 0; Date.now = () => real() + aheadMs;
process.on('SIGUSR2', () => { aheadMs = 3_600_000; });\n`,
);

class TestNode {
  #clients = [];

  constructor(name, role, ports, flags, nodeOptions = '') {
    Object.assign(this, { name, role, ports, nodeOptions });
    this.address = `127.0.0.1:${ports.api}`;
    this.rest = `127.0.0.1:${ports.rest}`;
    this.flags = {
      'data-dir': join(directory, name),
      'raft.address': `127.0.0.1:${ports.raft}`,
      'api.address': `http://${this.address}`,
      'rest.address': `http://${this.rest}`,
      'raft.wal-segment-size': '16MiB',
      'storage.write-buffer-size': '4MiB',
      config: '',
      ...flags,
    };
  }

  start(more = {}) {
    Object.assign(this.flags, more);
    const output = openSync(join(directory, `${this.name}.log`), 'a');
    const args = Object.entries(this.flags).map(([name, value]) => `--${name}=${value}`);
    const env = { ...process.env, NODE_OPTIONS: this.nodeOptions };
    this.child = spawn(process.execPath, [command, this.role, ...args], {
      cwd: directory,
      stdio: ['ignore', output, output],
      env,
    });
    closeSync(output);
    const { child } = this;
    this.ended = new Promise((done) => child.once('close', done));
    undo.push(() => child.kill('SIGKILL'));
    return this;
  }

  signal(name) {
    this.child.kill(name);
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    await this.ended;
  }

  ready() {
    return until(
      `${this.name} is ready`,
      async () => (await fetch(`http://${this.rest}/readyz`)).status === 200,
    );
  }

  async metric(name) {
    const page = await (await fetch(`http://${this.rest}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(page)?.[1]);
  }

  client(table = TABLE_NAME) {
    this.#clients[table] ??= NodeClient.to(this.address, table);
    return this.#clients[table];
  }
}

/** Puts through a node without end, so many at a time, until the answer is called. */
function load(node, { parallel = 8, valueBytes = 100, pauseMs = 20 } = {}) {
  let isOver = false;
  let sent = 0;
  const value = 'x'.repeat(valueBytes);
  const puts = Array.from({ length: parallel }, async () => {
    while (!isOver) {
      await node.client().put(`load-${sent++ % 1000}`, value, 8_000);
      await sleep(pauseMs);
    }
  });
  return async () => {
    isOver = true;
    await Promise.all(puts);
  };
}

/** A TCP proxy whose flows can be cut, and taken again. */
async function startProxy(port, targetPort) {
  const sockets = new Set();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return near.destroy();
    const far = connect(proxy.targetPort, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  server.unref();
  const proxy = {
    targetPort,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    mend() {
      isCut = false;
    },
    /** Leads to another port from now on. */
    leadTo(port) {
      proxy.cut();
      proxy.targetPort = port;
      proxy.mend();
    },
  };
  return proxy;
}

// ---- Prometheus

const alertsFile = readFileSync(join(root, 'deploy/prometheus/alerts.yml'), 'utf8');
const allAlerts = [...alertsFile.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);

class Prometheus {
  constructor(port) {
    this.port = port;
  }

  start(jobs) {
    const at = join(directory, 'prometheus');
    mkdirSync(at);
    writeFileSync(join(at, 'alerts.yml'), alertsFile.replace(/^( +for:) .*$/gm, '$1 1s'));
    const scrape = Object.entries(jobs).map(([job_name, nodes]) => ({
      job_name,
      static_configs: [{ targets: nodes.map(({ rest }) => rest) }],
    }));
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: ['alerts.yml'],
      scrape_configs: scrape,
    };
    writeFileSync(join(at, 'prometheus.yml'), JSON.stringify(config));
    const log = openSync(join(at, 'log'), 'a');
    const child = spawn(
      'prometheus',
      [
        `--config.file=${join(at, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(at, 'data')}`,
        `--web.listen-address=127.0.0.1:${this.port}`,
      ],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    undo.push(() => child.kill('SIGKILL'));
    return until('Prometheus is ready', async () => (await fetch(this.#url('/-/ready'))).ok, 60_000);
  }

  #url(path) {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** The alerts that fire now: their names, and those with all their labels. */
  async firing() {
    const { data } = await (await fetch(this.#url('/api/v1/alerts'))).json();
    const alerts = data.alerts.filter(({ state }) => state === 'firing');
    return {
      names: new Set(alerts.map(({ labels }) => labels.alertname)),
      all: alerts.map(({ labels }) => ({ name: labels.alertname, key: JSON.stringify(labels) })),
    };
  }
}

const fired = new Map();
const leftOut = new Map();
let failed = 0;

/** Causes a fault, and waits until each of the alerts fires. */
async function expectAlerts(what, names, cause, { mend = async () => undefined } = {}) {
  if (!new RegExp(only).test(what)) {
    for (const name of names) leftOut.set(name, 'its fault is not among those of --only');
    return;
  }
  console.log(`\n${what}`);
  const already = new Set((await prometheus.firing()).all.map(({ key }) => key));
  const beganMs = performance.now();
  await cause();
  const waiting = new Set(names);
  try {
    await until('alerts', async () => {
      const now = (await prometheus.firing()).all.filter(({ key }) => !already.has(key));
      for (const name of waiting) {
        if (!now.some((alert) => alert.name === name)) continue;
        waiting.delete(name);
        const seconds = (performance.now() - beganMs) / 1000;
        fired.set(name, { what, seconds });
        console.log(`  ${name} fired after ${seconds.toFixed(1)} s`);
      }
      return waiting.size === 0;
    });
  } catch {
    for (const name of waiting) {
      failed++;
      console.log(`  ${name} DID NOT FIRE within ${FIRES_MS / 1000} s`);
    }
  }
  await mend();
}

/** Waits until only these alerts fire. */
async function expectOnly(names) {
  let now = new Set();
  try {
    await until(
      'only those',
      async () => {
        now = (await prometheus.firing()).names;
        return [...now].every((name) => names.includes(name));
      },
      60_000,
    );
    console.log(`  no other alert fires than ${names.join(', ') || 'none'}`);
  } catch {
    failed++;
    console.log(`  FIRES WITHOUT A FAULT: ${[...now].filter((name) => !names.includes(name)).join(', ')}`);
  }
}

// ---- the clusters

const portsOf = async () => {
  const [raft, api, rest] = await findFreePorts(3);
  return { raft, api, rest };
};
const noDisks = whyNoDisks();
const disk = noDisks === undefined ? mountDisk('disk', 192 * MEBIBYTE) : undefined;
const store = new ScriptedS3();
await store.start();
const storePort = Number(new URL(store.endpoint).port);

const trusted = makeAuthority('authority');
const stranger = makeAuthority('stranger');
const leaderPorts = [await portsOf(), await portsOf(), await portsOf()];
const replicationPorts = await findFreePorts(4);
const [proxyPort, prometheusPort] = await findFreePorts(2);
const days = [300, 10, 1];
const archiveFlags = {
  'archive.target': `s3://${store.bucket}`,
  'archive.s3-endpoint': store.endpoint,
  'archive.s3-region': store.region,
  'archive.s3-access-key-id': store.accessKeyId,
  'archive.s3-secret-access-key': store.secretAccessKey,
  'archive.object-age': '500ms',
  'archive.max-backlog': '1MiB',
  // So that the log is compacted often: what waits for the archive is let go then.
  'raft.snapshot-entries': 10,
  'raft.compaction-overhead': 0,
};
const members = leaderPorts.map(({ raft }, i) => `${i + 1}=127.0.0.1:${raft}`).join(',');
const leaders = leaderPorts.map((ports, i) => {
  const id = i + 1;
  const flags = {
    'raft.node-id': id,
    'raft.initial-members': members,
    'raft.ca-filename': trusted.cert,
    ...issue(trusted, `node-${id}`, days[i]),
    'replication.address': `http://127.0.0.1:${replicationPorts[i]}`,
    'tables.names': TABLE_NAME,
    ...archiveFlags,
    ...(id === 3 && disk && { 'data-dir': join(disk.path, 'data') }),
  };
  return new TestNode(`leader-${id}`, 'leader', ports, flags, id === 2 ? `--require ${clockShim}` : '');
});
const proxy = await startProxy(proxyPort, replicationPorts[3]);
const follower = new TestNode('follower', 'follower', await portsOf(), {
  'replication.leader-address': `127.0.0.1:${proxyPort}`,
  'replication.reconcile-interval': '2s',
  'replication.enabled': false,
});
const small = new TestNode('small', 'leader', await portsOf(), {
  'replication.address': `http://127.0.0.1:${replicationPorts[3]}`,
  'tables.names': TABLE_NAME,
});
const prometheus = new Prometheus(prometheusPort);

for (const node of [...leaders, follower, small]) node.start();
for (const node of leaders) await node.ready();
await follower.ready();
await small.ready();
const [first, second, third] = leaders;
/** Writes through `small`, the leader cluster of `follower`, and waits until it is replicated. */
async function replicate(key) {
  await until('a write', async () => (await small.client().put(key, key, CALL_MS)).kind === 'acknowledged');
  await until('it is replicated', async () => {
    const answer = await follower.client().get(key, { linearizable: false, timeoutMs: CALL_MS });
    return answer.pair?.value === key;
  });
}

await replicate('key');
await until(
  'a write',
  async () => (await first.client().put('key', 'value', CALL_MS)).kind === 'acknowledged',
);
await prometheus.start({ leader: leaders, follower: [follower], small: [small] });

// ---- the faults

const always = ['CoxswainCertificateNearEnd', 'CoxswainCertificateEndsToday'];
await expectAlerts('certificates that end in 10 days and in 1 day', always, async () => undefined);
await sleep(10_000);
await expectOnly(always);

await expectAlerts(
  'the store of the archive is away, and more is written than may wait',
  ['CoxswainArchiveBehind', 'CoxswainArchiveFailing'],
  async () => {
    await store.stop();
    for (let i = 0; i < 20; i++) await first.client().put(`large-${i}`, randomText(100_000), CALL_MS);
  },
);

await expectAlerts('the store is back, and some of what waited is gone', ['CoxswainArchiveGap'], async () => {
  // What waits is let go when the log is compacted, which is not at once.
  for (let attempt = 0; attempt < 5; attempt++) {
    for (let i = 0; i < 40; i++) {
      await first.client().put(`large-${i}`, randomText(100_000), CALL_MS);
      await sleep(200);
    }
    await store.start(storePort);
    try {
      await until('a gap', async () => (await prometheus.firing()).names.has('CoxswainArchiveGap'), 15_000);
      return;
    } catch {
      await store.stop();
    }
  }
  await store.start(storePort);
});

await expectAlerts(
  'the link of the follower cluster is cut',
  ['CoxswainFollowerCutOff', 'CoxswainFollowerLagging'],
  async () => {
    proxy.cut();
    await small.client().put('while-cut', 'value', CALL_MS);
  },
  { mend: async () => proxy.mend() },
);

await expectAlerts(
  'the address of the leader cluster leads to another cluster',
  ['CoxswainReplicationBroken'],
  async () => proxy.leadTo(replicationPorts[0]),
  {
    mend: async () => {
      proxy.leadTo(replicationPorts[3]);
      await replicate('after-other');
    },
  },
);

await expectAlerts(
  'the disk of the leader cluster, which is one node, is put back to an earlier state',
  ['CoxswainTableStopped'],
  async () => {
    await small.stop();
    const { 'data-dir': data } = small.flags;
    cpSync(data, `${data}.copy`, { recursive: true });
    small.start();
    await small.ready();
    for (let i = 0; i < 100; i++) await replicate(`lost-${i}`);
    await small.stop();
    rmSync(data, { recursive: true });
    renameSync(`${data}.copy`, data);
    small.start();
    await small.ready();
  },
  { mend: () => follower.stop('SIGKILL') },
);

if (disk) {
  await expectAlerts('the disk of a node has 20 MiB of 192 left', ['CoxswainDiskNearlyFull'], async () =>
    disk.fill(20 * MEBIBYTE),
  );
  let stop;
  await expectAlerts(
    'the disk of a node is full, and clients go on writing there',
    ['CoxswainDiskFull', 'CoxswainRequestsFail', 'CoxswainNotReady'],
    async () => {
      disk.fill(0);
      stop = load(third);
    },
    {
      mend: async () => {
        await stop();
        disk.free();
        await third.ready();
      },
    },
  );
  await expectAgainAndAgain(
    'the disk of a node stands still for 1.5 s again and again',
    ['CoxswainSlowDisk'],
    () => load(first),
    () => disk.freeze(1_500),
  );
} else {
  for (const name of [
    'CoxswainDiskNearlyFull',
    'CoxswainDiskFull',
    'CoxswainSlowDisk',
    'CoxswainRequestsFail',
  ]) {
    leftOut.set(name, `no file system can be mounted and frozen here (it takes Linux and root): ${noDisks}`);
  }
}

await expectAgainAndAgain(
  'a node is suspended for 1.2 s again and again',
  ['CoxswainEventLoopLag', 'CoxswainSlowRequests'],
  () => load(first, { parallel: 16, pauseMs: 0 }),
  async () => {
    first.signal('SIGSTOP');
    await sleep(1_200);
    first.signal('SIGCONT');
  },
);

/** Causes a fault that passes by itself, under load, every half second until the alerts have fired. */
async function expectAgainAndAgain(what, names, begin, cause) {
  let isOver = false;
  let repeating;
  let stop;
  const repeat = async () => {
    while (!isOver) {
      await cause();
      await sleep(500);
    }
  };
  await expectAlerts(
    what,
    names,
    async () => {
      stop = begin();
      repeating = repeat();
    },
    {
      mend: async () => {
        isOver = true;
        await repeating;
        await stop();
      },
    },
  );
}

await expectAlerts('the clock of a node jumps ahead by an hour', ['CoxswainClockJump'], async () =>
  second.signal('SIGUSR2'),
);

let hasEnough = false;
let makingTables;
await expectAlerts(
  'a node with a small heap gets more and more tables',
  ['CoxswainMemory'],
  async () => {
    const used = await small.metric('nodejs_heap_size_used_bytes');
    // What a start needs depends on the release of Node.
    for (let part = 0.6; part < 2; part += 0.1) {
      await small.stop('SIGKILL');
      const size = Math.ceil((part * used) / MEBIBYTE);
      small.nodeOptions = `--max-semi-space-size=1 --max-old-space-size=${size}`;
      small.start();
      try {
        await small.ready();
        break;
      } catch {
        // Its heap was too small for a start.
      }
    }
    makingTables = makeTables(small);
  },
  {
    mend: async () => {
      hasEnough = true;
      await makingTables;
      await small.stop('SIGKILL');
    },
  },
);

/** Makes tables until there are enough, slowly where the heap is all but full. */
async function makeTables(node) {
  const limit = await node.metric('coxswain_heap_limit_bytes');
  for (let made = 0; !hasEnough && made < 2000; made++) {
    try {
      await node.client().createTable(`more-${made}`, CALL_MS);
      if ((await node.metric('nodejs_heap_size_used_bytes')) / limit > 0.92) await sleep(1_000);
    } catch {
      await sleep(500);
    }
  }
}

await expectAlerts(
  'a node comes back with the certificate of another authority',
  ['CoxswainHandshakesFail', 'CoxswainMemberNotHeard'],
  async () => {
    await third.stop();
    third.start({ ...issue(stranger, 'stranger-3', 300), 'raft.ca-filename': stranger.cert });
  },
  { mend: () => third.stop('SIGKILL') },
);

await expectAlerts(
  'a second node is killed',
  ['CoxswainNodeDown', 'CoxswainQuorumLost', 'CoxswainNoLeader'],
  () => second.stop('SIGKILL'),
);

function randomText(length) {
  let text = '';
  while (text.length < length) text += Math.random().toString(36).slice(2);
  return text.slice(0, length);
}

console.log('\nalert                          fired    seconds  fault');
for (const name of allAlerts) {
  const found = fired.get(name);
  const out = leftOut.get(name);
  if (!found && !out) failed += failed === 0 ? 1 : 0;
  const [mark, seconds, what] = found
    ? ['yes', found.seconds.toFixed(1), found.what]
    : out
      ? ['left out', '', out]
      : ['NO', '', ''];
  console.log(`${name.padEnd(30)} ${mark.padEnd(8)} ${seconds.padStart(7)}  ${what}`);
}
const count = allAlerts.filter((name) => fired.has(name)).length;
console.log(`\n${count} of ${allAlerts.length} alerts fired`);
process.exit(failed === 0 ? 0 : 1);
