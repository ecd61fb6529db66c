import {
  type Entry,
  EntryType,
  type Membership,
  type Message,
  type NodeId,
  Raft,
  type RaftConfig,
  type Ready,
  type StorageAppend,
} from '../../src/index.js';
import * as text from './describe.js';
import { MemoryDisk } from './memory-disk.js';

/** The arguments of a command: `campaign 1`, `deliver-msgs 2 drop=(1,3)`. */
class Arguments {
  readonly positional: string[] = [];
  readonly #named = new Map<string, string>();

  constructor(line: string) {
    for (const word of line.match(/[\w-]+=\([^)]*\)|\S+/g) ?? []) {
      const equals = word.indexOf('=');
      if (equals > 0) this.#named.set(word.slice(0, equals), word.slice(equals + 1));
      else this.positional.push(word);
    }
  }

  /** Takes the named argument, so that `finish` can tell which ones nothing understood. */
  text(name: string): string | undefined {
    const value = this.#named.get(name);
    this.#named.delete(name);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : Number(value);
  }

  list(name: string): number[] | undefined {
    return this.text(name)
      ?.replace(/[()]/g, '')
      .split(',')
      .filter((item) => item !== '')
      .map(Number);
  }

  flag(name: string): boolean {
    return this.text(name) === 'true';
  }

  at(index: number): number {
    const value = Number(this.positional[index]);
    if (!Number.isInteger(value)) throw new Error(`argument ${index + 1} must be a number`);
    return value;
  }

  get ids(): number[] {
    return this.positional.map(Number);
  }

  finish(): void {
    const [unknown] = this.#named.keys();
    if (unknown !== undefined) throw new Error(`unknown argument ${unknown}`);
  }
}

interface Node {
  readonly id: NodeId;
  readonly disk: MemoryDisk;
  readonly settings: Omit<RaftConfig, 'id' | 'log' | 'hardState' | 'membership' | 'applied' | 'random'>;
  readonly hasAsyncStorage: boolean;
  raft: Raft;
  /** What the next draw of an election timeout gives, in ticks. */
  nextTimeoutTicks: number;
  membership: Membership;
  applied: { index: number; term: number };
  appends: StorageAppend[];
  applies: (readonly Entry[])[];
  lastState: string;
}

const ELECTION_TICKS = 3;
const UNLIMITED = Number.MAX_SAFE_INTEGER;

/**
 * Runs a scenario: a text of blocks, each of commands and the output that they must have. Messages wait until a command
 * delivers them, and a node does nothing until a command tells it to, so every interleaving can be written down.
 */
class Scenario {
  readonly #nodes = new Map<NodeId, Node>();
  #network: Message[] = [];
  #output: string[] = [];
  #isQuiet = false;

  /** Runs the commands of one block and returns what they printed. */
  run(lines: readonly string[]): string {
    const printed = lines.flatMap((line) => this.#runCommand(line));
    return printed.length === 0 ? 'ok' : printed.join('\n');
  }

  #runCommand(line: string): readonly string[] {
    this.#output = [];
    const space = line.indexOf(' ');
    const name = space < 0 ? line : line.slice(0, space);
    try {
      const command = this.#commands[name];
      if (command === undefined) throw new Error(`unknown command ${name}`);
      const args = new Arguments(space < 0 ? '' : line.slice(space + 1));
      command(args);
      args.finish();
      this.#reportStates();
    } catch (error) {
      // A mistake in a scenario must show, also in a block that prints nothing.
      return [`error: ${(error as Error).message}`];
    }
    return this.#isQuiet && !QUERIES.has(name) ? [] : this.#output;
  }

  readonly #commands: Record<string, (args: Arguments) => void> = {
    // Nodes and their options. Without `voters` and `learners` the new nodes are the voters.
    //   add-nodes 3 voters=(1,2,3) learners=(4) index=10 prevote=true checkquorum=true async-storage-writes=true
    //   add-nodes 1 voters=(1,2) log=(1,1,4) term=5        one node with a log of these terms
    //   inflight=3 inflight-bytes=100 max-message-bytes=1 max-committed-bytes=1 max-uncommitted-bytes=20
    'add-nodes': (args) => this.#addNodes(args),
    // campaign 1
    campaign: (args) => this.#node(args.at(0)).raft.campaign(),
    // propose 1 foo bar      one entry per word
    propose: (args) => {
      const data = args.positional.slice(1).map((word) => Buffer.from(word));
      const result = this.#node(args.at(0)).raft.propose(data);
      if (result !== 'appended') this.#output.push(result);
    },
    // read-index 2 context
    'read-index': (args) => {
      if (!this.#node(args.at(0)).raft.readIndex(args.positional[1]!))
        this.#output.push('no leader is known');
    },
    // deliver-msgs 1 2 type=append drop=(3)      to nodes 1 and 2, while what goes to 3 is lost
    'deliver-msgs': (args) => {
      const type = args.text('type');
      for (const id of args.list('drop') ?? []) this.#deliver(id, type, true);
      for (const id of args.ids) this.#deliver(id, type, false);
    },
    // process-ready 1 2
    'process-ready': (args) => {
      for (const id of args.ids) this.#processReady(this.#node(id));
    },
    // process-append-thread 1     one write becomes durable
    'process-append-thread': (args) => {
      for (const id of args.ids) this.#processAppend(this.#node(id));
    },
    // process-apply-thread 1
    'process-apply-thread': (args) => {
      for (const id of args.ids) this.#processApply(this.#node(id));
    },
    // stabilize           all nodes, until nothing is left to do
    // stabilize 1 2       only these
    stabilize: (args) => this.#stabilize(args.positional.length > 0 ? args.ids : [...this.#nodes.keys()]),
    // tick 1 2            two ticks
    tick: (args) => this.#tick(args.at(0), args.at(1)),
    'tick-election': (args) => this.#tick(args.at(0), ELECTION_TICKS),
    'tick-heartbeat': (args) => this.#tick(args.at(0), 1),
    // set-randomized-election-timeout 1 timeout=5      for the next draw
    'set-randomized-election-timeout': (args) => {
      this.#node(args.at(0)).nextTimeoutTicks = args.number('timeout')!;
    },
    'forget-leader': (args) => this.#node(args.at(0)).raft.forgetLeader(),
    // transfer-leadership 1 3     leader 1 hands over to node 3
    'transfer-leadership': (args) => {
      const { raft } = this.#node(args.at(0));
      if (!raft.transferLeadership(args.at(1))) this.#output.push('no transfer');
    },
    // transfer-target 1
    'transfer-target': (args) => {
      const target = this.#node(args.at(0)).raft.transferTarget;
      this.#output.push(target === 0 ? '-' : String(target));
    },
    // can-campaign 1 false
    'can-campaign': (args) => {
      this.#node(args.at(0)).raft.canCampaign = args.positional[1] === 'true';
    },
    // report-unreachable 1 2      node 1 cannot reach node 2
    'report-unreachable': (args) => this.#node(args.at(0)).raft.reportUnreachable(args.at(1)),
    // report-snapshot 1 2 failed
    'report-snapshot': (args) =>
      this.#node(args.at(0)).raft.reportSnapshot(args.at(1), args.positional[2] === 'succeeded'),
    // send-snapshot 1 3               node 1's newest snapshot to node 3, without its core's doing
    // send-snapshot 1 3 index=12      an older one
    'send-snapshot': (args) => {
      const from = this.#node(args.at(0));
      const newest = from.disk.snapshot();
      const index = args.number('index') ?? newest.index;
      const snapshot = { ...newest, index, term: from.disk.term(index)! };
      const message: Message = {
        type: 'installSnapshot',
        from: from.id,
        to: args.at(1),
        term: from.raft.term,
        snapshot,
      };
      this.#send([message]);
    },
    // compact 1 11        up to and including 11
    compact: (args) => {
      this.#node(args.at(0)).disk.compact(args.at(1));
    },
    // restart 1           after a crash that loses what was not durable
    restart: (args) => this.#restart(this.#node(args.at(0))),
    // log-level none
    'log-level': (args) => {
      this.#isQuiet = args.positional[0] === 'none';
    },
    // raft-log 1
    'raft-log': (args) => {
      const { disk } = this.#node(args.at(0));
      const list = disk.entries(disk.firstIndex(), disk.lastIndex() + 1, UNLIMITED);
      this.#output.push(list.length === 0 ? `empty: first=${disk.firstIndex()}` : text.entries(list));
    },
    'raft-state': () => {
      for (const node of this.#nodes.values()) {
        this.#output.push(
          `${this.#describeState(node)} commit=${node.raft.commitIndex} last=${node.raft.lastIndex}`,
        );
      }
    },
    // status 1            what a leader knows of its peers
    status: (args) => {
      for (const peer of this.#node(args.at(0)).raft.peerStatuses()) {
        const marks = [
          peer.isLearner ? 'learner' : '',
          peer.isPaused ? 'paused' : '',
          peer.isRecentlyActive ? '' : 'inactive',
          peer.pendingSnapshot > 0 ? `snapshot=${peer.pendingSnapshot}` : '',
          peer.inflight > 0 ? `inflight=${peer.inflight}` : '',
        ].filter((mark) => mark !== '');
        this.#output.push(
          [`${peer.id}: ${peer.state} match=${peer.match} next=${peer.next}`, ...marks].join(' '),
        );
      }
    },
    // idle 1
    idle: (args) => {
      this.#output.push(String(this.#node(args.at(0)).raft.isIdle));
    },
    // messages            what is on its way
    messages: () => {
      for (const message of this.#network) this.#output.push(text.message(message));
    },
  };

  #node(id: NodeId): Node {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  #addNodes(args: Arguments): void {
    const count = args.at(0);
    const first = this.#nodes.size + 1;
    const learners = args.list('learners') ?? [];
    const everyone = Array.from({ length: count }, (_, i) => first + i);
    const voters = args.list('voters') ?? everyone.filter((id) => !learners.includes(id));
    const index = args.number('index') ?? 0;
    const start = { index, term: index > 0 ? 1 : 0 };
    const terms = args.list('log') ?? [];
    const term = args.number('term') ?? terms.at(-1) ?? start.term;
    const hasAsyncStorage = args.flag('async-storage-writes');
    const settings: Node['settings'] = {
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      preVote: args.flag('prevote'),
      checkQuorum: args.flag('checkquorum'),
      maxMessageBytes: args.number('max-message-bytes') ?? UNLIMITED,
      maxInflightMessages: args.number('inflight') ?? 256,
      maxInflightBytes: args.number('inflight-bytes') ?? UNLIMITED,
      maxUncommittedBytes: args.number('max-uncommitted-bytes') ?? 0,
      maxCommittedBytesPerReady: args.number('max-committed-bytes') ?? UNLIMITED,
    };
    for (const id of everyone) {
      const membership: Membership = { voters, learners };
      const disk = new MemoryDisk(membership, start);
      const log = terms.map(
        (entryTerm, i): Entry => ({
          index: index + 1 + i,
          term: entryTerm,
          type: EntryType.Normal,
          data: Buffer.from(`${entryTerm}.${index + 1 + i}`),
        }),
      );
      disk.preset({ term, vote: 0, commit: index }, log);
      const node = {
        id,
        disk,
        settings,
        hasAsyncStorage,
        nextTimeoutTicks: ELECTION_TICKS,
        membership,
      } as Node;
      node.applied = start;
      this.#start(node);
      this.#nodes.set(id, node);
      node.lastState = this.#describeState(node);
    }
  }

  #start(node: Node): void {
    node.appends = [];
    node.applies = [];
    node.raft = new Raft({
      ...node.settings,
      id: node.id,
      log: node.disk,
      hardState: node.disk.hardState,
      membership: node.membership,
      applied: node.applied.index,
      random: () => {
        const { nextTimeoutTicks } = node;
        node.nextTimeoutTicks = ELECTION_TICKS;
        return (nextTimeoutTicks - ELECTION_TICKS) / ELECTION_TICKS;
      },
    });
  }

  #restart(node: Node): void {
    node.disk.crash();
    node.applied = node.disk.snapshot();
    this.#start(node);
    this.#output.push(
      `${node.id} restarts with ${text.hardState(node.disk.hardState)} last=${node.disk.lastIndex()}`,
    );
  }

  #tick(id: NodeId, count: number): void {
    const { raft } = this.#node(id);
    for (let i = 0; i < count; i++) raft.tick();
  }

  #describeState({ id, raft }: Node): string {
    const kind = raft.membership.learners.includes(id) ? ' (learner)' : '';
    return `${id}: ${raft.role}${kind} term=${raft.term} leader=${raft.leader === 0 ? '-' : raft.leader}`;
  }

  #reportStates(): void {
    for (const node of this.#nodes.values()) {
      const state = this.#describeState(node);
      if (state === node.lastState) continue;
      node.lastState = state;
      this.#output.push(`* ${state}`);
    }
  }

  #send(messages: readonly Message[], indent = ''): void {
    for (const message of messages) {
      this.#network.push(message);
      this.#output.push(`${indent}${text.message(message)}`);
    }
  }

  #deliver(id: NodeId, type: string | undefined, isDropped: boolean): boolean {
    const isMeant = (message: Message): boolean =>
      message.to === id && (type === undefined || message.type === type);
    const messages = this.#network.filter(isMeant);
    if (messages.length === 0) return false;
    this.#network = this.#network.filter((message) => !isMeant(message));
    this.#output.push(isDropped ? `> ${id} never receives` : `> ${id} receives`);
    for (const message of messages) {
      this.#output.push(`  ${text.message(message)}`);
      if (!isDropped) this.#node(id).raft.step(message);
    }
    this.#reportStates();
    return true;
  }

  #processReady(node: Node): void {
    this.#output.push(`> ${node.id} handles Ready`);
    const ready = node.raft.ready();
    const { append, committed, reads, messages } = ready;
    if (append === undefined && committed.length + reads.length + messages.length === 0) {
      this.#output.push('  nothing to do');
    }
    for (const { context, index } of reads) this.#output.push(`  read context=${context} index=${index}`);
    this.#send(messages, '  ');
    if (append !== undefined) {
      node.disk.submit(append);
      node.appends.push(append);
    }
    if (committed.length > 0) node.applies.push(committed);
    if (node.hasAsyncStorage) this.#describeQueued(ready);
    else {
      if (append !== undefined) this.#completeAppend(node, '  ');
      while (node.applies.length > 0) this.#completeApply(node, '  ');
    }
    this.#reportStates();
  }

  #describeQueued({ append, committed }: Ready): void {
    if (append !== undefined) this.#output.push(`  to the append thread: ${this.#describeAppend(append)}`);
    if (committed.length > 0) this.#output.push(`  to the apply thread: ${text.entries(committed)}`);
  }

  #describeAppend({ hardState, snapshot, entries, responses }: StorageAppend): string {
    const parts = [];
    if (hardState !== undefined) parts.push(text.hardState(hardState));
    if (snapshot !== undefined) parts.push(`snapshot ${text.snapshot(snapshot)}`);
    if (entries.length > 0) parts.push(text.entries(entries));
    if (parts.length === 0) parts.push('nothing to write');
    if (responses.length > 0) parts.push(`${responses.length} to send`);
    return parts.join(', ');
  }

  #processAppend(node: Node): void {
    this.#output.push(`> ${node.id} stores`);
    if (node.appends.length === 0) this.#output.push('  nothing to do');
    else this.#completeAppend(node, '  ');
    this.#reportStates();
  }

  #completeAppend(node: Node, indent: string): void {
    const append = node.appends.shift()!;
    this.#output.push(`${indent}durable: ${this.#describeAppend(append)}`);
    node.disk.sync(append);
    if (append.snapshot !== undefined) {
      node.membership = append.snapshot.membership;
      node.applied = append.snapshot;
    }
    node.raft.appended(append);
    this.#send(append.responses, indent);
  }

  #processApply(node: Node): void {
    this.#output.push(`> ${node.id} applies`);
    if (node.applies.length === 0) this.#output.push('  nothing to do');
    else this.#completeApply(node, '  ');
  }

  #completeApply(node: Node, indent: string): void {
    const entries = node.applies.shift()!;
    this.#output.push(`${indent}applied: ${text.entries(entries)}`);
    const last = entries.at(-1)!;
    node.applied = last;
    node.disk.saveSnapshot({ index: last.index, term: last.term, membership: node.membership });
    node.raft.applied(last.index);
  }

  #stabilize(ids: readonly NodeId[]): void {
    let isBusy = true;
    while (isBusy) {
      isBusy = false;
      for (const id of ids) {
        const node = this.#node(id);
        while (node.raft.hasReady()) {
          const before = this.#output.length;
          this.#processReady(node);
          // Whether there was anything to do shows only when it is taken.
          if (this.#output[before + 1] === '  nothing to do') this.#output.length = before;
          else isBusy = true;
        }
      }
      for (const id of ids) if (this.#deliver(id, undefined, false)) isBusy = true;
      for (const id of ids) {
        const node = this.#node(id);
        while (node.appends.length > 0) {
          this.#processAppend(node);
          isBusy = true;
        }
        while (node.applies.length > 0) {
          this.#processApply(node);
          isBusy = true;
        }
      }
    }
  }
}

/** Commands that only look, and so are heard at every log level. */
const QUERIES = new Set(['raft-log', 'raft-state', 'status', 'idle', 'messages', 'transfer-target']);

/** Runs a whole file and returns it with the output that its commands have now. */
export function rerun(source: string): string {
  const scenario = new Scenario();
  const result: string[] = [];
  let isExpectation = false;
  let block: string[] = [];
  for (const line of source.split('\n')) {
    if (isExpectation) {
      if (line !== '') continue;
      isExpectation = false;
    }
    if (line === '----') {
      result.push('----', scenario.run(block));
      block = [];
      isExpectation = true;
      continue;
    }
    if (line !== '' && !line.startsWith('#')) block.push(line);
    result.push(line);
  }
  return result.join('\n');
}
