import { appendFileSync, fstatSync } from 'node:fs';
import { type Coxswain, CoxswainError, OutcomeUnknownError, operation, StatusCode } from '@coxswain/client';
import type { mvcc } from '@coxswain/protocol';
import { Presets, SingleBar } from 'cli-progress';
import { counted } from './counted.js';
import { DumpReader, MalformedLineError } from './dump-format.js';
import { ExitCode, failure } from './exit.js';
import { type OutputFormat, printDone } from './output.js';
import { StdinLines } from './stdin.js';

/** The most lines of a transaction, and the bytes from which on it is sent: one log entry holds all of them. */
const BATCH_LINES_MAX = 128;
const BATCH_SIZE_BYTES_MAX = 512 * 1024;
/** Transactions that are under way at the same time. */
const BATCHES_IN_FLIGHT_MAX = 16;

const TAB = 0x09;

/** Says how `put --stdin` and `del --stdin` continue after a fault. */
export interface BulkOptions {
  /** Lines before this one, counted from 1, are skipped. */
  readonly fromLine: number;
  /**
   * The file to which malformed or refused lines are appended, while the others go on; undefined when the first such
   * line ends the command.
   */
  readonly skipBad: string | undefined;
  readonly output: OutputFormat;
}

/** The way in which a command reads its lines. */
interface LineReader {
  /**
   * Returns the key and the operation of a line; undefined for a line that asks for nothing. Throws MalformedLineError.
   */
  read(line: Buffer): { readonly key: Buffer; readonly request: mvcc.RequestOp } | undefined;
  /** Is called for each line before --from-line. */
  pass?(line: Buffer): void;
  /** True refuses a last line without a line feed, since it may be the beginning of a longer one. */
  readonly wantsLineFeed?: boolean;
  /** Returns, after the last line, why the lines are not complete; undefined when they are. */
  whyIncomplete?(): string | undefined;
  /** Whether the last line says that nothing follows it. */
  hasEnd?(): boolean;
}

/** Stores the pairs of stdin, one `key<TAB>value` on each line, in the order of the lines. Prints their number. */
export async function putLines(client: Coxswain, table: string, options: BulkOptions): Promise<void> {
  const pipeline = new Pipeline('put', client, table, options);
  await pipeline.run({
    read(line) {
      const separator = line.indexOf(TAB);
      if (separator <= 0) throw new MalformedLineError('it is not key<TAB>value');
      const key = line.subarray(0, separator);
      return { key, request: operation.put(key, line.subarray(separator + 1)) };
    },
  });
  printDone(options.output, `OK ${pipeline.lineCount}`, { lines: pipeline.lineCount });
}

/**
 * Stores the pairs of a dump on stdin (dump-format.ts), and prints their number. Fails after the last line when that is
 * not the dump's end, unless `isPartial`.
 */
export async function loadLines(
  client: Coxswain,
  table: string,
  { isPartial, ...options }: BulkOptions & { readonly isPartial: boolean },
): Promise<void> {
  const pipeline = new Pipeline('load', client, table, options);
  const dump = new DumpReader();
  await pipeline.run({
    read(line) {
      const pair = dump.read(line);
      return pair && { key: pair.key, request: operation.put(pair.key, pair.value) };
    },
    pass: (line) => void dump.isComment(line),
    wantsLineFeed: true,
    whyIncomplete: () =>
      isPartial || dump.whyIncomplete === undefined
        ? undefined
        : `the input is not a whole dump: ${dump.whyIncomplete}; --partial takes it as it is`,
    hasEnd: () => dump.hasEnd,
  });
  printDone(options.output, `OK ${pipeline.lineCount}`, { lines: pipeline.lineCount });
}

/** Removes the keys of stdin, one on each line. Prints the number of keys that existed. */
export async function deleteLines(client: Coxswain, table: string, options: BulkOptions): Promise<void> {
  const pipeline = new Pipeline('del', client, table, options);
  await pipeline.run({
    read(line) {
      if (line.length === 0) throw new MalformedLineError('it is empty');
      return { key: line, request: operation.deleteRange(line) };
    },
  });
  const { lineCount: lines, deletedCount: deleted } = pipeline;
  printDone(options.output, String(deleted), { lines, deleted });
}

interface Batch {
  readonly operations: mvcc.RequestOp[];
  readonly lines: Buffer[];
  readonly numbers: number[];
  readonly keys: string[];
  sizeBytes: number;
}

/** Reads lines, gathers them into transactions, and keeps several of those under way. */
class Pipeline {
  readonly #name: string;
  readonly #client: Coxswain;
  readonly #table: string;
  readonly #options: BulkOptions;
  readonly #inFlight = new Set<Promise<void>>();
  /** The keys of transactions under way. A key that comes again waits for them, so that the last line wins. */
  readonly #keysInFlight = new Set<string>();
  /** Why the command stops early, without the number of lines that are done; undefined while it goes on. */
  #reason: string | undefined;
  /** The numbers of lines that were read and are neither done nor set aside. */
  readonly #open = new Set<number>();
  lineCount = 0;
  deletedCount = 0n;

  constructor(name: string, client: Coxswain, table: string, options: BulkOptions) {
    this.#name = name;
    this.#client = client;
    this.#table = table;
    this.#options = options;
  }

  async run(reader: LineReader): Promise<void> {
    const lines = new StdinLines();
    let progress: Progress | undefined;
    let batch: Batch | undefined;
    let number = 0;
    let isInterrupted = false;
    const interrupt = (): void => {
      // A second signal ends the process without waiting for the transactions under way.
      if (isInterrupted) {
        progress?.stop();
        process.exit(ExitCode.Failed);
      }
      isInterrupted = true;
      this.#reason ??= 'interrupted';
      process.stdin.destroy();
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt);
    // The bar hides the cursor: from here on, a signal must make the process show it again.
    progress = new Progress(this.#name, lines);
    try {
      for await (const line of lines) {
        if (this.#reason !== undefined) break;
        number++;
        if (number < this.#options.fromLine) {
          reader.pass?.(line);
          continue;
        }
        this.#open.add(number);
        let parsed: ReturnType<LineReader['read']>;
        try {
          if (reader.wantsLineFeed && !lines.isTerminated)
            throw new MalformedLineError('it does not end with a line feed, so it may be cut short');
          parsed = reader.read(line);
        } catch (error) {
          if (!(error instanceof MalformedLineError)) throw error;
          // The lines before it are stored, so that the count says where to continue.
          if (batch) this.#send(batch);
          batch = undefined;
          this.#setAside(number, line, error.message);
          continue;
        }
        if (parsed === undefined) {
          this.#open.delete(number);
          continue;
        }
        const { key, request } = parsed;
        const id = key.toString('latin1');
        if (this.#keysInFlight.has(id)) await this.#settle(0);
        batch ??= { operations: [], lines: [], numbers: [], keys: [], sizeBytes: 0 };
        batch.operations.push(request);
        batch.lines.push(line);
        batch.numbers.push(number);
        batch.keys.push(id);
        batch.sizeBytes += line.length;
        if (batch.operations.length === BATCH_LINES_MAX || batch.sizeBytes >= BATCH_SIZE_BYTES_MAX) {
          this.#send(batch);
          batch = undefined;
          await this.#settle(BATCHES_IN_FLIGHT_MAX - 1);
          progress.update(this.lineCount);
        }
      }
      if (batch) this.#send(batch);
      if (this.#reason === undefined) this.#reason = reader.whyIncomplete?.();
    } catch (error) {
      // An interrupt destroys stdin, which ends the wait for the next line.
      if (!isInterrupted) throw error;
    } finally {
      await this.#settle(0);
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
      progress.update(this.lineCount);
      progress.stop();
    }
    if (this.#reason === undefined) return;
    const next = this.#open.size > 0 ? Math.min(...this.#open) : number + 1;
    const isOver = this.#open.size === 0 && reader.hasEnd?.() === true;
    const advice = isOver ? '' : `; go on with --from-line ${next}`;
    throw failure(
      `${this.#name}: ${this.#reason}; ${counted(this.lineCount, 'line is', 'lines are')} done${advice}`,
    );
  }

  #send(batch: Batch): void {
    if (this.#reason !== undefined) return;
    for (const key of batch.keys) this.#keysInFlight.add(key);
    const sent = this.#commit(batch).then(() => {
      this.#inFlight.delete(sent);
      for (const key of batch.keys) this.#keysInFlight.delete(key);
    });
    this.#inFlight.add(sent);
  }

  async #commit(batch: Batch): Promise<void> {
    const { operations, numbers } = batch;
    try {
      await this.#apply(operations, numbers);
    } catch (error) {
      if (isRefused(error)) await this.#commitSingly(batch);
      else this.#reason ??= `lines ${numbers[0]}-${numbers.at(-1)}: ${(error as Error).message}`;
    }
  }

  /**
   * Sends each line of a refused transaction by itself. The server refuses a transaction as a whole; this shows which
   * line it is.
   */
  async #commitSingly({ operations, lines, numbers }: Batch): Promise<void> {
    for (const [place, request] of operations.entries()) {
      const number = numbers[place]!;
      try {
        await this.#apply([request], [number]);
      } catch (error) {
        const { message } = error as Error;
        if (isRefused(error)) this.#setAside(number, lines[place]!, message);
        else this.#reason ??= `line ${number}: ${message}`;
        if (this.#reason !== undefined) return;
      }
    }
  }

  async #apply(operations: readonly mvcc.RequestOp[], numbers: readonly number[]): Promise<void> {
    const { responses } = await this.#client
      .txn(this.#table)
      .do(...operations)
      .commit();
    this.lineCount += operations.length;
    for (const number of numbers) this.#open.delete(number);
    for (const { response } of responses) {
      if (response?.$case === 'responseDeleteRange') this.deletedCount += response.value.deleted;
    }
  }

  /** Appends a bad line to the file of --skip-bad; without that flag, the line ends the command. */
  #setAside(number: number, line: Buffer, why: string): void {
    const { skipBad } = this.#options;
    if (skipBad === undefined) {
      this.#reason ??= `line ${number}: ${why}`;
      return;
    }
    appendFileSync(skipBad, Buffer.concat([line, Buffer.from('\n')]), { mode: 0o600 });
    process.stderr.write(`${this.#name}: line ${number}: ${why}: it is in ${skipBad}\n`);
    this.#open.delete(number);
  }

  /** Resolves when at most this many transactions are under way. */
  async #settle(inFlightMax: number): Promise<void> {
    while (this.#inFlight.size > inFlightMax) await Promise.race(this.#inFlight);
  }
}

/** The codes of docs/errors.md for faults that one line causes, and no other line shares. */
const lineFaults: ReadonlySet<string> = new Set([
  'keyNotSet',
  'keyTooLong',
  'messageTooLarge',
  'valueTooLong',
]);
const stockRefusals: ReadonlySet<StatusCode> = new Set([
  StatusCode.FAILED_PRECONDITION,
  StatusCode.INVALID_ARGUMENT,
  StatusCode.RESOURCE_EXHAUSTED,
]);

/** Whether the line itself is at fault and was certainly not applied, so that repeating it does not help. */
function isRefused(error: unknown): boolean {
  if (!(error instanceof CoxswainError) || error instanceof OutcomeUnknownError) return false;
  // A stock server sends no code of docs/errors.md: when it answers a write with one of these, the line is at fault.
  return error.errorCode === '' ? stockRefusals.has(error.code) : lineFaults.has(error.errorCode);
}

/** A bar on stderr, when that is a terminal: by bytes when stdin is a file, and otherwise a count of lines. */
class Progress {
  readonly #bar: SingleBar | undefined;
  readonly #lines: StdinLines;
  readonly #hasTotal: boolean;

  constructor(name: string, lines: StdinLines) {
    this.#lines = lines;
    const stdin = fstatSync(0);
    this.#hasTotal = stdin.isFile() && stdin.size > 0;
    if (!process.stderr.isTTY) return;
    const format = this.#hasTotal
      ? `${name} {bar} {percentage}% | {lines} lines | {duration_formatted}`
      : `${name} {lines} lines | {duration_formatted}`;
    this.#bar = new SingleBar({ format, stream: process.stderr, hideCursor: true }, Presets.shades_classic);
    this.#bar.start(this.#hasTotal ? stdin.size : 1, 0, { lines: 0 });
  }

  update(lineCount: number): void {
    this.#bar?.update(this.#hasTotal ? this.#lines.bytesRead : 0, { lines: lineCount });
  }

  stop(): void {
    this.#bar?.stop();
  }
}
