import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Coxswain } from '@coxswain/client';
import { findFreePorts, until } from '@coxswain/testing';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';
import { afterEach, expect, test } from '@jest/globals';
import { OneNode } from './support/one-node.js';

/**
 * The other side knows the seed's proto, word for word, and the JSON that async-raft prints, and nothing of ours. It
 * plays members of a wolf.raft group against one node, with gzip both ways.
 */
const seed = loadSync(fileURLToPath(new URL('../../test/support/wolf-raft.seed.proto', import.meta.url)), {
  keepCase: true,
  longs: String,
  enums: Number,
  bytes: Buffer,
});
const raft = seed['wolf.raft.Raft'] as unknown as Record<string, MethodDefinition<object, object>>;
const methodNames = ['Bootstrap', 'AppendEntries', 'InstallSnapshot', 'Vote', 'GetMetrics'] as const;
type MethodName = (typeof methodNames)[number];

const gzip = { 'grpc.default_compression_algorithm': 2 };
const TABLE = 'shared';

/** A caller that sees the bytes of each answer. */
class Caller {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), gzip);
  }

  call(name: MethodName, request: object): Promise<Buffer> {
    const { path, requestSerialize } = raft[name]!;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        (bytes: Buffer) => bytes,
        request,
        (error, answer) => (error === null ? resolve(answer!) : reject(error)),
      );
    });
  }

  /** Expects the answer to be these fields, byte for byte. */
  async expect(name: MethodName, request: object, answer: object): Promise<void> {
    const bytes = await this.call(name, request);
    expect({ answer: decoded(name, bytes) }).toEqual({ answer: decoded(name, encoded(name, answer)) });
    expect(bytes.toString('hex')).toBe(encoded(name, answer).toString('hex'));
  }

  async refusal(name: MethodName, request: object): Promise<{ msg_id: string; code: number; msg: string }> {
    const answer = decoded(name, await this.call(name, request)) as { error_res: never };
    return answer.error_res;
  }

  async metrics(): Promise<string> {
    const answer = decoded('GetMetrics', await this.call('GetMetrics', { msg_id: 'm' }));
    return (answer as { ok_res: { metrics: string } }).ok_res.metrics;
  }

  close(): void {
    this.#client.close();
  }
}

const encoded = (name: MethodName, answer: object): Buffer => raft[name]!.responseSerialize(answer);
const decoded = (name: MethodName, bytes: Buffer): object => raft[name]!.responseDeserialize(bytes);

/** A member that answers as a script says, and keeps what it was asked. */
class Scripted {
  readonly asked: { readonly name: MethodName; readonly request: Record<string, never> }[] = [];
  readonly #server = new Server(gzip);

  constructor(readonly answer: (name: MethodName, request: Record<string, string>) => object) {
    const handlers = methodNames.map((name) => [
      name,
      (
        { request }: { request: Record<string, never> },
        done: (error: Error | null, answer: object) => void,
      ): void => {
        this.asked.push({ name, request });
        const given = this.answer(name, request);
        done(null, given);
      },
    ]);
    this.#server.addService(raft as never, Object.fromEntries(handlers));
  }

  listen(address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }

  /** The first request of that method for which it holds. */
  async until(
    name: MethodName,
    holds: (request: Record<string, string>) => boolean,
  ): Promise<Record<string, string>> {
    return until(
      `${name} is asked with what satisfies ${holds}`,
      () => this.asked.find((asked) => asked.name === name && holds(asked.request))?.request,
    );
  }

  close(): void {
    this.#server.forceShutdown();
  }
}

const pristine = (id: number): string =>
  `{"id":${id},"state":"NonVoter","current_term":0,"last_log_index":0,"last_applied":0,"current_leader":null,` +
  `"membership_config":{"members":[${id}],"members_after_consensus":null}}`;

/** `req` of AppendEntries as async-raft prints it. */
const req = (
  term: number,
  leader: number,
  [prevIndex, prevTerm]: readonly [number, number],
  entries: readonly string[],
  commit: number,
): string =>
  `{"term":${term},"leader_id":${leader},"prev_log_index":${prevIndex},"prev_log_term":${prevTerm},` +
  `"entries":[${entries.join(',')}],"leader_commit":${commit}}`;

const normal = (term: number, index: number, client: string, serial: number, status: string): string =>
  `{"term":${term},"index":${index},"payload":{"Normal":{"data":{"client":"${client}","serial":${serial},"status":"${status}"}}}}`;

const configChange = (term: number, index: number): string =>
  `{"term":${term},"index":${index},"payload":{"ConfigChange":{"membership":{"members":[1,0,2],"members_after_consensus":null}}}}`;

/** An ok_res with what proto3 does not leave out. */
const ok = (term: number, more: object): object => {
  const fields: [string, unknown][] = Object.entries({ msg_id: 'x', term, ...more });
  return { ok_res: Object.fromEntries(fields.filter(([, value]) => value !== 0 && value !== false)) };
};

let node: OneNode;
let caller: Caller;
let scripted: Scripted[] = [];
let client: Coxswain | undefined;

afterEach(async () => {
  client?.close();
  client = undefined;
  caller.close();
  for (const member of scripted) member.close();
  scripted = [];
  await node.stop();
});

async function startAs(
  id: number,
  flags: Record<string, string> = {},
  before?: (addresses: readonly string[]) => Promise<void>,
): Promise<readonly string[]> {
  const addresses = (await findFreePorts(3)).map((port) => `127.0.0.1:${port}`);
  await before?.(addresses);
  node = await OneNode.start({
    'wolf.table': TABLE,
    'wolf.address': addresses[id]!,
    'wolf.members': addresses.map((address, member) => `${member}=${address}`).join(','),
    // Who plays the others is not in a hurry: nobody campaigns but when it is told to.
    'raft.election-rtt': '100000',
    ...flags,
  });
  caller = new Caller(addresses[id]!);
  return addresses;
}

/** The members beside number 1, who answer GetMetrics so and nothing else. */
async function listenAround(addresses: readonly string[], metrics: (id: number) => string): Promise<void> {
  for (const [id, address] of addresses.entries()) {
    if (id === 1) continue;
    const member = new Scripted((_name, request) => ({
      ok_res: { msg_id: request['msg_id'], metrics: metrics(id) },
    }));
    scripted.push(member);
    await member.listen(address);
  }
}

async function valueAt(key: string): Promise<string | undefined> {
  client ??= await Coxswain.connect({ endpoints: [node.target] });
  return (await client.get(TABLE, key, { linearizable: false }))?.value.toString();
}

/** Resolves when node 1 takes calls in (T4). */
async function untilItTakesPart(): Promise<void> {
  await until('it takes calls in', async () => {
    const { error } = JSON.parse(await caller.metrics()) as { error: string | null };
    return error === null;
  });
}

test('a member with an empty disk takes part when all others have said their term, and from that term on (T4)', async () => {
  const addresses = await startAs(1);
  const append = { msg_id: 'x', req: req(4, 0, [0, 0], [normal(2, 1, 'c', 7, 's')], 1) };
  const vote = { msg_id: 'x', term: 9, candidate_id: 0, last_log_index: 5, last_log_term: 2 };
  const chunk = {
    msg_id: 'x',
    term: 4,
    leader_id: 0,
    last_included_index: 5,
    last_included_term: 2,
    done: true,
  };
  const reason = expect.stringMatching(/has an empty disk.* member 0 at .* gives no metrics/);
  const asked = [
    ['AppendEntries', append, 3],
    ['InstallSnapshot', chunk, 4],
    ['Vote', vote, 5],
  ] as const;
  // Nobody has been asked yet when a call comes at once.
  let error = '';
  while (!error.includes('gives no metrics'))
    ({ error } = JSON.parse(await caller.metrics()) as { error: string });
  for (const [name, request, code] of asked) {
    expect(await caller.refusal(name, request)).toEqual({ msg_id: 'x', code, msg: reason });
  }

  // Member 2 was a candidate in term 7, and this disk may have voted for it.
  await listenAround(addresses, (id) =>
    pristine(id)
      .replace('NonVoter', 'Follower')
      .replace('"current_term":0', `"current_term":${id === 0 ? 4 : 7}`)
      .replace('"last_log_index":0', '"last_log_index":5'),
  );
  await untilItTakesPart();
  await caller.expect('AppendEntries', append, ok(7, { success: false }));
  await caller.expect('InstallSnapshot', chunk, ok(7, {}));
  await caller.expect('Vote', { ...vote, term: 7 }, ok(7, { vote_granted: false }));
  // It has not caught up.
  await caller.expect('Vote', vote, ok(7, { vote_granted: false }));
  await caller.expect(
    'AppendEntries',
    { msg_id: 'x', req: req(7, 2, [0, 0], [normal(2, 1, 'c', 7, 's'), normal(7, 2, 'd', 1, 't')], 1) },
    ok(7, { success: true }),
  );
  expect(JSON.parse(await caller.metrics())).toMatchObject({ state: 'NonVoter', current_term: 7 });
  await caller.expect(
    'AppendEntries',
    { msg_id: 'x', req: req(7, 2, [2, 7], [], 2) },
    ok(7, { success: true }),
  );
  let state = '';
  while (state !== 'Follower') ({ state } = JSON.parse(await caller.metrics()) as { state: string });
});

test('a candidate and a leader that know the seed alone are answered byte for byte', async () => {
  await startAs(1, {}, (addresses) => listenAround(addresses, pristine));
  expect((await caller.metrics()).startsWith(pristine(1).slice(0, -1))).toBe(true);
  const append = (json: string) => ({ msg_id: 'x', req: json });
  await untilItTakesPart();

  // A first election: nobody has a log. Node ids begin at 0, which proto3 leaves out (trap 3).
  const vote = { msg_id: 'x', term: 1, candidate_id: 0, last_log_index: 0, last_log_term: 0 };
  await caller.expect('Vote', vote, ok(1, { vote_granted: true }));
  await caller.expect('Vote', { ...vote, candidate_id: 2 }, ok(1, { vote_granted: false }));

  await caller.expect(
    'AppendEntries',
    append(req(1, 0, [0, 0], [configChange(1, 1)], 0)),
    ok(1, { success: true }),
  );
  await caller.expect(
    'AppendEntries',
    append(req(1, 0, [1, 1], [normal(1, 2, 'c', 7, 's'), normal(1, 3, 'd', 1, 'ß')], 2)),
    ok(1, { success: true }),
  );
  // What is committed is applied and read, and what is not is not.
  await expect(valueAt('c')).resolves.toBe('s');
  await expect(valueAt('d')).resolves.toBeUndefined();

  // Traps 1 and 2: a log that does not match, with entries or without, is answered with the commit index and its term.
  const conflict = ok(1, { success: false, conflict_opt: { term: 1, index: 2 } });
  await caller.expect('AppendEntries', append(req(1, 0, [9, 1], [], 9)), conflict);
  await caller.expect('AppendEntries', append(req(1, 0, [9, 1], [normal(1, 10, 'e', 1, 'e')], 9)), conflict);
  // Trap 6: what is committed is never cut off, whatever a prev_log_index of 0 says.
  await caller.expect(
    'AppendEntries',
    append(req(2, 0, [0, 0], [normal(2, 1, 'c', 8, 'other')], 1)),
    ok(1, { success: false, conflict_opt: { term: 1, index: 2 } }),
  );
  await expect(valueAt('c')).resolves.toBe('s');
  // All of it again, and more.
  await caller.expect(
    'AppendEntries',
    append(
      req(1, 0, [1, 1], [normal(1, 2, 'c', 7, 's'), normal(1, 3, 'd', 1, 'ß'), normal(1, 4, 'c', 8, 't')], 4),
    ),
    ok(1, { success: true }),
  );
  await expect(valueAt('c')).resolves.toBe('t');
  await expect(valueAt('d')).resolves.toBe('ß');

  // It has caught up, and votes; but not while it hears a leader, whose term it keeps.
  const later = { ...vote, term: 9, candidate_id: 2, last_log_index: 9, last_log_term: 1 };
  let state = '';
  while (state !== 'Follower') ({ state } = JSON.parse(await caller.metrics()) as { state: string });
  await caller.expect('AppendEntries', append(req(1, 0, [4, 1], [], 4)), ok(1, { success: true }));
  await caller.expect('Vote', later, ok(1, { vote_granted: false }));
  expect(await caller.metrics()).toMatch(
    /^\{"id":1,"state":"Follower","current_term":1,"last_log_index":4,"last_applied":4,"current_leader":0,"membership_config":\{"members":\[0,1,2\],"members_after_consensus":null\},/,
  );

  // An earlier term: no conflict_opt.
  await caller.expect('AppendEntries', append(req(0, 0, [4, 1], [], 4)), ok(1, { success: false }));

  // What is refused: always with gRPC status OK, and the seed's codes (trap 4).
  const invalid = [
    '',
    'null',
    req(1, 0, [4, 1], [], 4).replace('"term":1', '"term":"1"'),
    req(1, 0, [4, 1], [], 4).replace('"leader_commit":4', '"leader_commit":18446744073709551616'),
    // It would be rounded.
    req(1, 0, [4, 1], [], 4).replace('"leader_commit":4', '"leader_commit":9007199254740993'),
    `${req(1, 0, [4, 1], [], 4)}x`,
  ];
  for (const json of invalid) {
    expect(await caller.refusal('AppendEntries', append(json))).toMatchObject({ msg_id: 'x', code: 2 });
  }
  expect(await caller.refusal('AppendEntries', append(req(1, 7, [4, 1], [], 4)))).toMatchObject({ code: 3 });
  expect(await caller.refusal('Vote', { ...later, candidate_id: 5 })).toMatchObject({ code: 5 });
  expect(await caller.refusal('Bootstrap', { msg_id: 'x', number_of_nodes: 3 })).toMatchObject({ code: 1 });

  // A snapshot of a memstore, in chunks: a gap is refused, and begins anew at 0.
  const state2 = JSON.stringify({
    last_applied_log: 9,
    client_serial_responses: { c: [9, 't'] },
    client_status: { c: 'u', f: 'g' },
  });
  const snapshot = `{"index":9,"term":1,"membership":{"members":[0,1,2],"members_after_consensus":null},"data":[${[...Buffer.from(state2)].join(',')}]}`;
  const chunk = (offset: number, end: number, done: boolean) => ({
    msg_id: 'x',
    term: 1,
    leader_id: 0,
    last_included_index: 9,
    last_included_term: 1,
    offset,
    done,
    data: Buffer.from(snapshot).subarray(offset, end),
  });
  await caller.expect('InstallSnapshot', chunk(0, 100, false), ok(1, {}));
  expect(await caller.refusal('InstallSnapshot', chunk(101, 150, false))).toMatchObject({
    msg_id: 'x',
    code: 4,
  });
  await caller.expect('InstallSnapshot', chunk(0, 100, false), ok(1, {}));
  await caller.expect('InstallSnapshot', chunk(100, snapshot.length, true), ok(1, {}));
  await expect(valueAt('f')).resolves.toBe('g');
  // A leader that missed the answer sends the last chunk again; one that knows nothing of it, all of them.
  await caller.expect('InstallSnapshot', chunk(100, snapshot.length, true), ok(1, {}));
  await caller.expect('InstallSnapshot', chunk(0, 100, false), ok(1, {}));
  await caller.expect('InstallSnapshot', chunk(100, snapshot.length, true), ok(1, {}));
  await caller.expect(
    'AppendEntries',
    append(req(1, 0, [9, 1], [normal(1, 10, 'f', 1, 'h')], 10)),
    ok(1, { success: true }),
  );
  await expect(valueAt('f')).resolves.toBe('h');
});

test('a follower that knows the seed alone is led, and what its conflict_opt names is never taken for a match', async () => {
  const addresses = await startAs(0);
  // Member 1 answers as a follower of the real one does whose log is empty; member 2 is silent from its vote on.
  const log: string[] = [];
  let hasRefused = false;
  const follower = new Scripted((name, request) => {
    if (name === 'GetMetrics') return { ok_res: { msg_id: request.msg_id, metrics: pristine(1) } };
    if (name === 'Vote')
      return { ok_res: { msg_id: request.msg_id, term: request.term, vote_granted: true } };
    const { term, prev_log_index, entries } = JSON.parse(request.req!) as {
      term: number;
      prev_log_index: number;
      entries: { index: number }[];
    };
    const answer = { msg_id: request.msg_id, term };
    if (entries.some(({ index }) => index === 3) && !hasRefused) {
      hasRefused = true;
      // Trap 1, seen from a leader: the real one names an index that it does not hold as the leader does.
      return { ok_res: { ...answer, success: false, conflict_opt: { term, index: prev_log_index + 50 } } };
    }
    // A heartbeat that was sent before the last entry may come after it: it takes nothing away (Raft paper, figure 2).
    for (const entry of entries) log[entry.index - 1] = JSON.stringify(entry);
    return { ok_res: { ...answer, success: true } };
  });
  const silent = new Scripted((name, request) =>
    name === 'GetMetrics'
      ? { ok_res: { msg_id: request.msg_id, metrics: pristine(2) } }
      : { error_res: { msg_id: request.msg_id, code: 0, msg: 'no' } },
  );
  scripted = [follower, silent];
  // Nobody is there yet: all must be, and be empty (T4).
  const refused = await caller.refusal('Bootstrap', { msg_id: 'x', number_of_nodes: 3 });
  expect(refused).toMatchObject({
    code: 1,
    msg: expect.stringMatching(/^member [12] at .* gives no metrics/),
  });
  await follower.listen(addresses[1]!);
  await silent.listen(addresses[2]!);
  const mismatch = await caller.refusal('Bootstrap', { msg_id: 'x', number_of_nodes: 4 });
  expect(mismatch.msg).toContain('number_of_nodes is 4');
  expect(mismatch.msg).toContain('wolf.members names 3');
  await caller.expect('Bootstrap', { msg_id: 'x', number_of_nodes: 3 }, { ok_res: { msg_id: 'x' } });
  expect(await caller.refusal('Bootstrap', { msg_id: 'x', number_of_nodes: 3 })).toMatchObject({ code: 1 });

  // Node ids begin at 0, which proto3 leaves out (trap 3), as it does with an empty log.
  const { term: voteTerm, ...vote } = await follower.until('Vote', () => true);
  expect({ ...vote }).toEqual({ msg_id: 'coxswain' });
  expect(Number(voteTerm)).toBeGreaterThan(0);
  const first = await follower.until('AppendEntries', ({ req: json }) => json!.includes('"index":1,'));
  const { term } = JSON.parse(first.req!) as { term: number };
  expect(first.req).toBe(req(term, 0, [0, 0], [`{"term":${term},"index":1,"payload":"Blank"}`], 0));
  // Then it says who the members are, for those that learn it from the log.
  const second = await follower.until('AppendEntries', ({ req: json }) => json!.includes('"ConfigChange"'));
  expect(second.req).toContain(
    '"payload":{"ConfigChange":{"membership":{"members":[0,1,2],"members_after_consensus":null}}}',
  );

  client = await Coxswain.connect({ endpoints: [node.target] });
  // Linearizable reads are confirmed by answers to calls that were sent after them.
  await client.put(TABLE, 'k', 'v');
  expect((await client.get(TABLE, 'k'))?.value.toString()).toBe('v');
  const put = log.find((entry) => entry.includes('"Normal"'))!;
  expect(put).toMatch(
    new RegExp(
      `^\\{"term":${term},"index":3,"payload":\\{"Normal":\\{"data":\\{"client":"k","serial":3,"status":"v","command":"[A-Za-z0-9+/]+=*"\\}\\}\\}\\}$`,
    ),
  );
  expect(hasRefused).toBe(true);
  // The refused entry was sent again, and counted only then.
  const third = follower.asked.filter(
    ({ name, request }) => name === 'AppendEntries' && String(request['req']).includes('"index":3'),
  );
  expect(third.length).toBeGreaterThan(1);
  expect(JSON.parse(await caller.metrics())).toMatchObject({
    state: 'Leader',
    current_leader: 0,
    last_applied: 3,
  });
});

test('every text that the real parser refuses is refused, and none that it takes, and nothing comes of any', async () => {
  // What async-raft 0.6.1 makes of them: see packages/wolf/test/golden.test.ts.
  const path = fileURLToPath(new URL('../../../wolf/test/golden/real.json', import.meta.url));
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: [string, string, string | null][] };
  const texts = cases.filter(([kind]) => kind === 'append');
  expect(texts.length).toBeGreaterThan(400);
  await startAs(1, {}, (addresses) => listenAround(addresses, pristine));
  await untilItTakesPart();
  for (const [, text, printed] of texts) {
    const answer = decoded(
      'AppendEntries',
      await caller.call('AppendEntries', { msg_id: `x${text}`, req: text }),
    ) as {
      ok_res?: { msg_id: string };
      error_res?: { msg_id: string; code: number; msg: string };
    };
    const { ok_res, error_res } = answer;
    expect((ok_res ?? error_res)?.msg_id).toBe(`x${text}`);
    // One thing more is refused here.
    const isTooLarge = error_res?.msg.includes('above 2^53-1') === true;
    expect({ text, isRefused: error_res?.code === 2 }).toEqual({
      text,
      isRefused: printed === null || isTooLarge,
    });
  }
  expect(JSON.parse(await caller.metrics())).toMatchObject({ last_log_index: 0, last_applied: 0 });
});

test('where no table is replicated, Bootstrap and GetMetrics answer', async () => {
  await startAs(0, { 'wolf.table': '', 'wolf.members': '' });
  expect(await caller.metrics()).toBe(pristine(0));
  expect(await caller.refusal('Bootstrap', { msg_id: 'x', number_of_nodes: 0 })).toMatchObject({
    code: 1,
    msg: 'no table is replicated over wolf.raft here: set wolf.table',
  });
  expect(await caller.refusal('AppendEntries', { msg_id: 'x', req: req(1, 0, [0, 0], [], 0) })).toMatchObject(
    { code: 3 },
  );
});

test('a group without a leader says whether it has been formed, and whether members are missing', async () => {
  await startAs(1, {}, (addresses) => listenAround(addresses, pristine));
  await untilItTakesPart();
  client = await Coxswain.connect({ endpoints: [node.target] });
  const reasons = async () => (await client!.cluster.status()).tables.get(TABLE)?.errors;
  expect(await reasons()).toEqual([
    expect.stringContaining(`no leader: the group has not been formed: call Bootstrap of wolf.raft`),
  ]);
  await caller.expect('Bootstrap', { msg_id: 'x', number_of_nodes: 3 }, { ok_res: { msg_id: 'x' } });
  // The others answer, and grant it no vote.
  let said: readonly string[] | undefined;
  while (!said?.[0]?.includes('no leader: 3 of 3 members answer, but have not elected one'))
    said = await reasons();
});

test('a node alone is a group', async () => {
  await startAs(0, { 'wolf.members': '' });
  await caller.expect('Bootstrap', { msg_id: 'x', number_of_nodes: 0 }, { ok_res: { msg_id: 'x' } });
  client = await Coxswain.connect({ endpoints: [node.target] });
  await client.put(TABLE, 'k', 'v');
  expect((await client.get(TABLE, 'k'))?.value.toString()).toBe('v');
  expect((await client.tables.list()).tables.map(({ name }) => name)).toContain(TABLE);
  await expect(client.tables.create(TABLE)).rejects.toThrow('table already exists');
  await expect(client.tables.delete(TABLE)).rejects.toThrow('is replicated over wolf.raft');
  // P4: what the text of the refusal says fits, of the bytes that take most room, and of plain text.
  await client.put(TABLE, 'k', Buffer.alloc(500 * 1024, 1));
  await client.put(TABLE, 'k', Buffer.alloc(Math.floor(1.6 * 1024 * 1024), 'a'));
  const tooLarge = client.put(TABLE, 'k', Buffer.alloc(Math.floor(1.8 * 1024 * 1024), 'a'));
  await expect(tooLarge).rejects.toThrow('a value of 500 KiB always does, and plain text of 1.6 MiB');
});
