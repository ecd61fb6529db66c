import { fstatSync } from 'node:fs';
import { type Coxswain, operation } from '@coxswain/client';
import type { mvcc } from '@coxswain/protocol';
import { Presets, SingleBar } from 'cli-progress';
import { failure } from './exit.js';
import { StdinLines } from './stdin.js';

/** Lines travel in transactions of so many, and so many bytes: one log entry for all of them. */
const batchLinesMax = 128;
const batchSizeBytesMax = 512 * 1024;
/** Transactions under way at a time. */
const batchesInFlightMax = 16;

const tab = 0x09;

/** Stores the pairs of stdin, `key<TAB>value` a line, in the order of the lines. Prints how many. */
export async function putLines(client: Coxswain, table: string): Promise<void> {
  const pipeline = new Pipeline('put', client, table);
  await pipeline.run((line, number) => {
    const separator = line.indexOf(tab);
    if (separator <= 0) throw failure(`put: line ${number} is not key<TAB>value`);
    const key = line.subarray(0, separator);
    return { key, request: operation.put(key, line.subarray(separator + 1)) };
  });
  process.stdout.write(`OK ${pipeline.lineCount}\n`);
}

/** Removes the keys of stdin, one a line. Prints how many there were. */
export async function deleteLines(client: Coxswain, table: string): Promise<void> {
  const pipeline = new Pipeline('del', client, table);
  await pipeline.run((line, number) => {
    if (line.length === 0) throw failure(`del: line ${number} is empty`);
    return { key: line, request: operation.deleteRange(line) };
  });
  process.stdout.write(`${pipeline.deletedCount}\n`);
}

interface Batch {
  readonly firstLine: number;
  readonly operations: mvcc.RequestOp[];
  readonly keys: string[];
  sizeBytes: number;
}

/** Reads lines, gathers them into transactions, and keeps several of those under way. */
class Pipeline {
  readonly #name: string;
  readonly #client: Coxswain;
  readonly #table: string;
  readonly #inFlight = new Set<Promise<void>>();
  /** A key that comes again waits for the transaction before it: the last line wins. */
  readonly #keysInFlight = new Set<string>();
  #failure: Error | undefined;
  lineCount = 0;
  deletedCount = 0n;

  constructor(name: string, client: Coxswain, table: string) {
    this.#name = name;
    this.#client = client;
    this.#table = table;
  }

  async run(
    parse: (line: Buffer, number: number) => { key: Buffer; request: mvcc.RequestOp },
  ): Promise<void> {
    const lines = new StdinLines();
    const progress = new Progress(this.#name, lines);
    let batch: Batch | undefined;
    let number = 0;
    try {
      for await (const line of lines) {
        number++;
        const { key, request } = parse(line, number);
        const id = key.toString('latin1');
        if (this.#keysInFlight.has(id)) await this.#settle(0);
        batch ??= { firstLine: number, operations: [], keys: [], sizeBytes: 0 };
        batch.operations.push(request);
        batch.keys.push(id);
        batch.sizeBytes += line.length;
        if (batch.operations.length === batchLinesMax || batch.sizeBytes >= batchSizeBytesMax) {
          this.#send(batch);
          batch = undefined;
          await this.#settle(batchesInFlightMax - 1);
          progress.update(this.lineCount);
        }
        if (this.#failure) break;
      }
      if (batch && !this.#failure) this.#send(batch);
    } finally {
      await this.#settle(0);
      progress.update(this.lineCount);
      progress.stop();
    }
    if (this.#failure) throw this.#failure;
  }

  #send(batch: Batch): void {
    for (const key of batch.keys) this.#keysInFlight.add(key);
    const sent = this.#commit(batch).then(() => {
      this.#inFlight.delete(sent);
      for (const key of batch.keys) this.#keysInFlight.delete(key);
    });
    this.#inFlight.add(sent);
  }

  async #commit({ firstLine, operations }: Batch): Promise<void> {
    try {
      const { responses } = await this.#client
        .txn(this.#table)
        .do(...operations)
        .commit();
      this.lineCount += operations.length;
      for (const { response } of responses) {
        if (response?.$case === 'responseDeleteRange') this.deletedCount += response.value.deleted;
      }
    } catch (error) {
      const lastLine = firstLine + operations.length - 1;
      this.#failure ??= failure(
        `${this.#name}: lines ${firstLine}-${lastLine} failed: ${(error as Error).message}; ${this.lineCount} lines are done; run it again, repeating is harmless`,
      );
    }
  }

  /** Resolves when at most so many transactions are under way. */
  async #settle(inFlightMax: number): Promise<void> {
    while (this.#inFlight.size > inFlightMax) await Promise.race(this.#inFlight);
  }
}

/** A bar on stderr when that is a terminal: by bytes when stdin is a file, else a count. */
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
