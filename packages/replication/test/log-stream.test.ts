import type { LogEntry, TableLog } from '@coxswain/node';
import { mvcc, replication } from '@coxswain/protocol';
import { CommandKind, type Table } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import { LogStream } from '../src/log-stream.js';
import { type ReplicateMessage, readReplicateMessage } from '../src/replicate-message.js';
import { ManualClock, settled } from './support/manual-clock.js';

const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;
const { DUMMY, PUT, TXN } = mvcc.Command_CommandType;

const put = (key: string, value = ''): Buffer =>
  Buffer.from(
    mvcc.Command.encode(
      mvcc.Command.fromPartial({
        table: Buffer.from('t'),
        kv: { key: Buffer.from(key), value: Buffer.from(value) },
      }),
    ).finish(),
  );

/** A log in memory, as a test changes it. */
class FakeLog implements TableLog {
  readonly clock = new ManualClock();
  readonly shardId = 10_001;
  readonly outcomes = new Map<number, boolean>();
  readonly table = { txnOutcome: async (index: number) => this.outcomes.get(index) } as unknown as Table;
  firstIndex = 1;
  readonly baseIndex = 0;
  readonly loadedIndex = 0;
  isServing = true;
  entriesInLog: LogEntry[] = [];
  readonly #waiting = new Set<() => void>();

  get appliedIndex(): number {
    return this.entriesInLog.length;
  }

  append(kind: CommandKind, command: Buffer = Buffer.alloc(0)): void {
    this.entriesInLog.push({ index: this.entriesInLog.length + 1, term: 1, timeMs: 1, kind, command });
    for (const wake of this.#waiting) wake();
  }

  sizeBytesAbove(index: number): number {
    return this.entriesInLog.slice(index).reduce((bytes, { command }) => bytes + command.length, 0);
  }

  hold(): () => void {
    return () => undefined;
  }

  entries(from: number, maxBytes: number): LogEntry[] {
    const found: LogEntry[] = [];
    let bytes = 0;
    for (const entry of this.entriesInLog.slice(from - 1)) {
      bytes += entry.command.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#waiting.delete(look);
        signal?.removeEventListener('abort', look);
        timer.cancel();
        resolve();
      };
      const timer = this.clock.startTimer(waitMs, end);
      const look = (): void => {
        if (this.appliedIndex > index || signal?.aborted) end();
      };
      this.#waiting.add(look);
      signal?.addEventListener('abort', look);
      look();
    });
  }
}

function harness(log: FakeLog, messageBytesMax = 4 * 1024 * 1024) {
  const { clock } = log;
  const aborter = new AbortController();
  const ask = async (
    request: Partial<replication.ReplicateRequest>,
    deadlineMs = clock.monotonicMs() + 60_000,
  ): Promise<ReplicateMessage[]> => {
    const stream = new LogStream(log, { clock, messageBytesMax });
    const full = replication.ReplicateRequest.fromPartial({ table: Buffer.from('t'), ...request });
    const found: ReplicateMessage[] = [];
    for await (const bytes of stream.messages(full, { deadlineMs, signal: aborter.signal })) {
      expect(bytes.length).toBeLessThanOrEqual(Math.max(messageBytesMax, 200_000));
      found.push(readReplicateMessage(bytes));
    }
    return found;
  };
  return { clock, aborter, ask };
}

const commandsOf = (messages: readonly ReplicateMessage[]) => messages.flatMap(({ commands }) => commands);

describe('Log.Replicate', () => {
  test('ends with the time of what is applied, also where the entries cannot be sent', async () => {
    const log = new FakeLog();
    log.append(CommandKind.Load);
    log.append(CommandKind.Loaded);
    Object.assign(log.table, { revision: 2, lastTimeMs: 77 });
    const { ask } = harness(log);
    const told = { leaderIndex: 2, leaderTimeMs: 77 };
    expect(await ask({ leaderIndex: 1n })).toMatchObject([{ error: USE_SNAPSHOT, ...told }]);
    expect(await ask({ leaderIndex: 9n })).toMatchObject([{ error: LEADER_BEHIND, ...told }]);
    expect(await ask({ leaderIndex: 3n })).toMatchObject([{ isTerminal: true, ...told }]);
    // The table is further on than what is sent: its time is that of another entry.
    Object.assign(log.table, { revision: 3 });
    expect(await ask({ leaderIndex: 3n })).toMatchObject([{ leaderTimeMs: 0 }]);
  });

  test('sends contiguous indices, DUMMY for internal entries, and ends with one bare leader_index', async () => {
    const log = new FakeLog();
    log.append(CommandKind.None);
    log.append(CommandKind.Command, put('a'));
    log.append(CommandKind.Compact);
    log.append(CommandKind.Command, put('b'));
    const messages = await harness(log).ask({ leaderIndex: 1n });
    expect(commandsOf(messages).map(({ leaderIndex, type }) => [leaderIndex, type])).toEqual([
      [1, DUMMY],
      [2, PUT],
      [3, DUMMY],
      [4, PUT],
    ]);
    expect(messages.map(({ isTerminal, leaderIndex }) => [isTerminal, leaderIndex])).toEqual([
      [false, 4],
      [true, 4],
    ]);
    const decoded = mvcc.Command.decode(commandsOf(messages)[1]!.command);
    expect([decoded.leaderIndex, decoded.kv?.key.toString()]).toEqual([2n, 'a']);
  });

  test('keeps to the message limit, and sends a larger entry alone', async () => {
    const log = new FakeLog();
    for (let at = 0; at < 40; at++) log.append(CommandKind.Command, put(`${at}`, 'x'.repeat(10_000)));
    log.append(CommandKind.Command, put('large', 'x'.repeat(150_000)));
    log.append(CommandKind.Command, put('last'));
    const messages = await harness(log, 64 * 1024).ask({ leaderIndex: 1n });
    const batches = messages.filter(({ isTerminal }) => !isTerminal).map(({ commands }) => commands.length);
    expect(batches.slice(0, -3).every((length) => length === 6)).toBe(true);
    expect(batches.slice(-2)).toEqual([1, 1]);
    expect(commandsOf(messages).map(({ leaderIndex }) => leaderIndex)).toEqual(
      log.entriesInLog.map(({ index }) => index),
    );
  });

  test('answers LEADER_BEHIND, USE_SNAPSHOT below the log and for another shard, each alone (T1)', async () => {
    const log = new FakeLog();
    for (let at = 0; at < 9; at++) log.append(CommandKind.Command, put('a'));
    log.firstIndex = 5;
    const { ask } = harness(log);
    expect((await ask({ leaderIndex: 11n })).map(({ error }) => error)).toEqual([LEADER_BEHIND]);
    expect((await ask({ leaderIndex: 10n })).map(({ isTerminal }) => isTerminal)).toEqual([true]);
    expect((await ask({ leaderIndex: 4n })).map(({ error }) => error)).toEqual([USE_SNAPSHOT]);
    expect((await ask({ leaderIndex: 6n, shardId: 7n })).map(({ error }) => error)).toEqual([USE_SNAPSHOT]);
    expect((await ask({ leaderIndex: 6n, shardId: 10_001n }))[0]!.error).toBeUndefined();
  });

  test('sends nobody what a load brought into the shard: its revisions are of other moments', async () => {
    const log = new FakeLog();
    log.append(CommandKind.Command, put('a'));
    log.append(CommandKind.Load);
    log.append(CommandKind.Command, put('b'));
    const messages = await harness(log).ask({ leaderIndex: 1n });
    expect(messages.at(-1)!.error).toBe(USE_SNAPSHOT);
    expect(commandsOf(messages).every(({ leaderIndex }) => leaderIndex === 1)).toBe(true);
  });

  test('gives a stock follower the branch that was taken, and ours the transaction as it is (R3)', async () => {
    const log = new FakeLog();
    const txn = mvcc.Command.fromPartial({
      table: Buffer.from('t'),
      type: TXN,
      txn: {
        compare: [
          {
            target: mvcc.Compare_CompareTarget.VERSION,
            key: Buffer.from('k'),
            targetUnion: { $case: 'version', value: 0n },
          },
        ],
        success: [{ request: { $case: 'requestPut', value: { key: Buffer.from('yes') } } }],
        failure: [{ request: { $case: 'requestPut', value: { key: Buffer.from('no') } } }],
      },
    });
    const bytes = Buffer.from(mvcc.Command.encode(txn).finish());
    for (let at = 0; at < 3; at++) log.append(CommandKind.Command, bytes);
    log.outcomes.set(1, true).set(2, false);
    const { ask } = harness(log);
    const ours = commandsOf(await ask({ leaderIndex: 1n, capabilities: 1n }));
    expect(ours.map(({ command }) => mvcc.Command.decode(command).txn)).toEqual([txn.txn, txn.txn, txn.txn]);
    const stock = await ask({ leaderIndex: 1n });
    const branches = commandsOf(stock).map(({ command }) => mvcc.Command.decode(command).txn);
    // The third one's outcome is not kept any more: only a snapshot tells what it did.
    expect(stock.at(-1)!.error).toBe(USE_SNAPSHOT);
    log.outcomes.set(3, true);
    const all = commandsOf(await ask({ leaderIndex: 1n })).map(
      ({ command }) => mvcc.Command.decode(command).txn!,
    );
    expect(branches.length).toBeLessThan(3);
    expect(all.map(({ compare, success, failure }) => [compare, success, failure])).toEqual([
      [[], txn.txn!.success, []],
      [[], txn.txn!.failure, []],
      [[], txn.txn!.success, []],
    ]);
  });

  describe('as a long poll', () => {
    /** Asks for what follows the log's only entry. */
    async function waiting(callMs = 60_000) {
      const log = new FakeLog();
      log.append(CommandKind.Command, put('a'));
      const { ask, aborter, clock } = harness(log);
      const answer: { indices?: number[] } = {};
      void ask({ leaderIndex: 2n, waitMs: 30_000 }, clock.monotonicMs() + callMs).then((messages) => {
        expect(messages.at(-1)!.isTerminal).toBe(true);
        answer.indices = commandsOf(messages).map(({ leaderIndex }) => leaderIndex);
        expect(clock.waiting).toBe(0);
      });
      await settled();
      return { log, aborter, clock, answer };
    }

    test('answers with what is applied within 2 ms of the first entry', async () => {
      const { log, clock, answer } = await waiting();
      await clock.advance(1_000);
      log.append(CommandKind.Command, put('b'));
      await clock.advance(1);
      log.append(CommandKind.Command, put('c'));
      await clock.advance(0.9);
      expect(answer.indices).toBeUndefined();
      await clock.advance(0.1);
      expect(answer.indices).toEqual([2, 3]);
    });

    test('answers at once when 256 entries are there', async () => {
      const { log, answer } = await waiting();
      for (let count = 0; count < 255; count++) log.append(CommandKind.Command, put('b'));
      await settled();
      expect(answer.indices).toBeUndefined();
      log.append(CommandKind.Command, put('b'));
      await settled();
      expect(answer.indices).toHaveLength(256);
    });

    test('gathers nothing when it finds entries already there', async () => {
      const log = new FakeLog();
      log.append(CommandKind.Command, put('a'));
      const messages = await harness(log).ask({ leaderIndex: 1n, waitMs: 30_000 });
      expect(commandsOf(messages)).toHaveLength(1);
    });

    test('ends at once when it is given up, also while it gathers', async () => {
      for (const count of [0, 1]) {
        const { log, aborter, answer } = await waiting();
        if (count === 1) log.append(CommandKind.Command, put('b'));
        await settled();
        aborter.abort();
        await settled();
        expect(answer.indices).toEqual([]);
      }
    });

    test('never answers later than its deadline, and with nothing at the end of its wait', async () => {
      const { clock, answer } = await waiting(1_000);
      await clock.advance(901);
      expect(answer.indices).toEqual([]);
      const patient = await waiting();
      await patient.clock.advance(29_999);
      expect(patient.answer.indices).toBeUndefined();
      await patient.clock.advance(1);
      expect(patient.answer.indices).toEqual([]);
    });
  });

  describe('as a long poll that goes on', () => {
    /** Asks for what follows the log's only entry, and tells each message as it comes. */
    async function goingOn() {
      const log = new FakeLog();
      log.append(CommandKind.Command, put('a'));
      const { clock } = log;
      const aborter = new AbortController();
      const found: ReplicateMessage[] = [];
      const answer = {
        isOver: false,
        indices: () => commandsOf(found).map(({ leaderIndex }) => leaderIndex),
      };
      const request = replication.ReplicateRequest.fromPartial({
        table: Buffer.from('t'),
        leaderIndex: 2n,
        waitMs: 30_000,
        capabilities: 3n,
      });
      void (async () => {
        const stream = new LogStream(log, { clock, messageBytesMax: 4 * 1024 * 1024 });
        const call = { deadlineMs: clock.monotonicMs() + 60_000, signal: aborter.signal };
        for await (const bytes of stream.messages(request, call)) found.push(readReplicateMessage(bytes));
        answer.isOver = true;
      })();
      await settled();
      return { log, clock, aborter, found, answer };
    }

    test('sends what is applied soon after as well, each batch with its end', async () => {
      const { log, clock, found, answer } = await goingOn();
      for (const last of [2, 3, 4]) {
        log.append(CommandKind.Command, put('b'));
        await clock.advance(2);
        expect(answer.indices()).toEqual(log.entriesInLog.slice(1, last).map(({ index }) => index));
        expect(found.at(-1)).toMatchObject({ isTerminal: true, leaderIndex: last });
      }
      expect(answer.isOver).toBe(false);
    });

    test('ends when nothing came for 20 ms, since the next request tells how far the follower is', async () => {
      const { log, clock, found, answer } = await goingOn();
      log.append(CommandKind.Command, put('b'));
      await clock.advance(21.9);
      expect(answer.isOver).toBe(false);
      await clock.advance(0.1);
      expect(answer.isOver).toBe(true);
      expect(found.map(({ isTerminal }) => isTerminal)).toEqual([false, true]);
      expect(clock.waiting).toBe(0);
    });

    test('ends after 250 ms however much comes, and when it is given up', async () => {
      const { log, clock, answer } = await goingOn();
      log.append(CommandKind.Command, put('b'));
      for (let ms = 0; ms < 250; ms += 10) {
        expect(answer.isOver).toBe(false);
        await clock.advance(10);
        log.append(CommandKind.Command, put('b'));
      }
      await clock.advance(10);
      expect(answer.isOver).toBe(true);
      const other = await goingOn();
      other.log.append(CommandKind.Command, put('b'));
      await other.clock.advance(3);
      other.aborter.abort();
      await settled();
      expect(other.answer.isOver).toBe(true);
    });

    test('says that only a snapshot tells the rest where a load comes', async () => {
      const { log, clock, found, answer } = await goingOn();
      log.append(CommandKind.Command, put('b'));
      await clock.advance(2);
      log.append(CommandKind.Load);
      await clock.advance(2);
      expect(answer.isOver).toBe(true);
      expect(found.at(-1)!.error).toBe(USE_SNAPSHOT);
    });
  });

  test('ends well at its deadline, with what it has sent', async () => {
    const log = new FakeLog();
    for (let at = 0; at < 5; at++) log.append(CommandKind.Command, put('a'));
    const { ask, clock } = harness(log);
    const messages = await ask({ leaderIndex: 1n }, clock.monotonicMs() + 50);
    expect(messages.map(({ isTerminal }) => isTerminal)).toEqual([true]);
  });

  test('sends nothing that follows a seal, and nothing of a log that was compacted meanwhile (T2)', async () => {
    const log = new FakeLog();
    for (let at = 0; at < 3; at++) log.append(CommandKind.Command, put('a', 'x'.repeat(700_000)));
    const clock = new ManualClock();
    const stream = new LogStream(log, { clock, messageBytesMax: 800_000 });
    const request = replication.ReplicateRequest.fromPartial({ table: Buffer.from('t'), leaderIndex: 1n });
    const call = { deadlineMs: clock.monotonicMs() + 60_000, signal: new AbortController().signal };
    const found: ReplicateMessage[] = [];
    for await (const bytes of stream.messages(request, call)) {
      found.push(readReplicateMessage(bytes));
      log.isServing = false;
    }
    expect(found.at(-1)!.error).toBe(USE_SNAPSHOT);
    expect(commandsOf(found).length).toBeLessThan(3);
  });
});
