// `npm run check:wolf-peer`: a wolf.raft group of two nodes of ours and one of the real one's, async-raft 0.6.1 over memstore
// 0.2.0 behind tonic (packages/wolf/test/real-peer), which needs cargo and some minutes to build; REAL_PEER may name what an
// earlier build made.
//
// The group is formed by Bootstrap and written to through its leader; where the leader is a node of ours it is
// killed, else a follower is, and the group is written to again, until a real peer has led and our nodes have followed it, and
// the other way round. At the end all three hold the
// same. One line a step; exits with 1 when a step has failed.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Coxswain, toEnd } from '../packages/client/dist/src/index.js';
import { wolfRaft } from '../packages/protocol/dist/src/index.js';
import { eventually, findFreePorts } from '../packages/testing/dist/src/index.js';

// The root has no gRPC of its own.
const { Client, credentials } = createRequire(new URL('../packages/channel/package.json', import.meta.url))(
  '@grpc/grpc-js',
);
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const command = join(root, 'packages', 'cli', 'bin', 'coxswain.cjs');
const TABLE = 'shared';
/** The member that is the real one. */
const REAL = 2;

const directory = mkdtempSync(join(tmpdir(), 'coxswain-wolf-peer-'));
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function start(program, args, stdio) {
  const child = spawn(program, args, { stdio });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

function built() {
  const folder = join(directory, 'real-peer');
  cpSync(join(root, 'packages', 'wolf', 'test', 'real-peer'), folder, { recursive: true });
  const { status, error } = spawnSync('cargo', ['build', '--release', '--quiet'], {
    cwd: folder,
    stdio: 'inherit',
  });
  if (error) throw new Error('cargo is not here: the real peer cannot be built, and nothing was checked');
  if (status !== 0) throw new Error('the real peer does not build');
  return join(folder, 'target', 'release', 'real-peer');
}

/** What every member has: the seed's RPCs. */
class Member {
  #raft;

  constructor(id, address) {
    this.id = id;
    this.address = address;
    this.#raft = new Client(address, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': 2,
    });
  }

  ask({ path, requestSerialize, responseDeserialize }, request) {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + 20_000 };
      this.#raft.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (error, answer) => {
          if (error) reject(error);
          else if (answer.response?.$case === 'okRes') resolve(answer.response.value);
          else reject(new Error(`${answer.response?.value.code} ${answer.response?.value.msg}`));
        },
      );
    });
  }

  async metrics() {
    return JSON.parse((await this.ask(wolfRaft.RaftService.getMetrics, { msgId: 'm' })).metrics);
  }
}

class OurMember extends Member {
  #ports;
  #members;
  #child;

  constructor(id, address, ports, members) {
    super(id, address);
    this.#ports = ports;
    this.#members = members;
  }

  async restart() {
    const [api, rest, raft, replication] = this.#ports;
    const args = [
      'leader',
      '--config=',
      `--data-dir=${join(directory, String(this.id))}`,
      '--raft.node-id=1',
      `--raft.address=127.0.0.1:${raft}`,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--replication.address=http://127.0.0.1:${replication}`,
      `--wolf.table=${TABLE}`,
      `--wolf.address=${this.address}`,
      `--wolf.members=${this.#members}`,
      // An election timeout of 1.5 to 3 s: the real one has 1.6 to 2 s, so both sides win some.
      '--raft.rtt=150ms',
    ];
    this.#child = start(process.execPath, [command, ...args], ['ignore', 'ignore', 'ignore']);
    await eventually(`member ${this.id} is ready`, async () => {
      const response = await fetch(`http://127.0.0.1:${rest}/readyz`).catch(() => undefined);
      return response?.ok === true;
    });
    this.client ??= await Coxswain.connect({ endpoints: [`127.0.0.1:${api}`], timeoutMs: 20_000 });
  }

  kill() {
    return new Promise((resolve) => {
      this.#child.once('exit', resolve);
      this.#child.kill('SIGKILL');
    });
  }

  write(client, _serial, status) {
    return this.client.put(TABLE, client, status);
  }

  /** The clients' statuses: all keys of text. */
  async statuses() {
    const found = new Map();
    for await (const { key, value } of this.client.iterateRange(TABLE, toEnd, {
      rangeEnd: toEnd,
      linearizable: false,
    })) {
      if (key[0] !== 0xff) found.set(key.toString(), value.toString());
    }
    return found;
  }
}

class RealMember extends Member {
  #child;
  #lines;

  constructor(id, address, program, members) {
    super(id, address);
    this.#child = start(program, [String(id), members], ['pipe', 'pipe', 'ignore']);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async #say(line) {
    this.#child.stdin.write(`${line}\n`);
    // A memstore prints each snapshot that it installs, over many lines.
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('the real peer has ended');
      if (/^(ok$|refused|\{.)/.test(value)) return value;
    }
  }

  async write(client, serial, status) {
    const answer = await this.#say(`write ${client} ${serial} ${status}`);
    if (answer !== 'ok') throw new Error(answer);
  }

  async statuses() {
    const { client_status } = JSON.parse(await this.#say('state'));
    return new Map(Object.entries(client_status).filter(([client]) => client !== ''));
  }
}

async function leaderOf(members) {
  let leader;
  await eventually('the group has a leader that the others know', async () => {
    const all = await Promise.all(members.map((member) => member.metrics()));
    const place = all.findIndex(({ state }) => state === 'Leader');
    leader = members[place];
    return leader !== undefined && all.every(({ current_leader }) => current_leader === leader.id);
  });
  return leader;
}

const ports = await findFreePorts(11);
const addresses = [0, 1, 2].map((id) => `127.0.0.1:${ports[id]}`);
const named = addresses.map((address, id) => `${id}=${address}`).join(',');
const program = process.env.REAL_PEER ?? built();
const real = new RealMember(REAL, addresses[REAL], program, named);
const ours = [0, 1].map((id) => new OurMember(id, addresses[id], ports.slice(3 + 4 * id, 7 + 4 * id), named));
await Promise.all(ours.map((member) => member.restart()));
await eventually(
  'the real one answers',
  async () => (await real.metrics().catch(() => undefined)) !== undefined,
);

const expected = new Map();
let serial = 0;
const running = () => [...ours, real].filter(({ isDown }) => !isDown);

/** Writes through whoever leads, and gives who led at the end. */
async function writeSome(count) {
  let leader = await leaderOf(running());
  for (let i = 0; i < count; i++) {
    const client = `client-${serial % 40}`;
    const status = `status-${serial}`;
    // Again where it is not known what became of it: the same value, and the same serial.
    await eventually(`${client} is written`, async () => {
      leader ??= await leaderOf(running());
      const asked = leader;
      leader = undefined;
      await asked.write(client, serial, status);
      leader = asked;
      return true;
    });
    expected.set(client, status);
    serial++;
  }
  return leader;
}

async function untilEqual(members) {
  for (const member of members) {
    await eventually(`member ${member.id} holds what was written`, async () => {
      const statuses = await member.statuses();
      return (
        statuses.size === expected.size &&
        [...expected].every(([client, status]) => statuses.get(client) === status)
      );
    });
  }
}

try {
  await ours[0].ask(wolfRaft.RaftService.bootstrap, { msgId: 'b', numberOfNodes: 3n });
  const first = await writeSome(100);
  await untilEqual([...ours, real]);
  console.log(`member ${first.id} led, and all three hold 100 writes`);
  const led = new Set([first.id]);
  for (let round = 1; round <= 8 && !(led.has(REAL) && led.size > 1 && round > 3); round++) {
    const leader = await leaderOf(running());
    const victim = leader === real ? ours[round % 2] : leader;
    victim.isDown = true;
    await victim.kill();
    const next = await writeSome(50);
    led.add(next.id);
    victim.isDown = false;
    await victim.restart();
    await untilEqual([...ours, real]);
    console.log(`member ${victim.id} was killed, member ${next.id} led, and all three hold ${serial} writes`);
  }
  if (!led.has(REAL)) throw new Error('the real one never led: run it again');
} catch (error) {
  console.log(`failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
  if (error?.cause) console.log(error.cause);
  process.exit(1);
}
process.exit(0);
