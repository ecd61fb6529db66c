import { createRequire } from 'node:module';
import { type mvcc, type regatta, toProtobufJson } from '@coxswain/protocol';
import { reportToJson } from './report-json.js';
import { Writer } from './writer.js';

/** The format in which results are shown. */
export type OutputFormat = 'simple' | 'table' | 'json';

/** Returns bytes as they are, or as `\x66\x6f\x6f` in etcdctl's manner. */
function showBytes(bytes: Buffer, isHex: boolean): Buffer | string {
  return isHex ? bytes.toString('hex').replace(/../g, '\\x$&') : bytes;
}

/** Loads the module for tables, for a table alone: a command that shows none has half as much to read without it. */
const loadTable = (): typeof import('cli-table3') => createRequire(import.meta.url)('cli-table3');

/** Formats a table without colours, so that it reads the same in a file. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const Table = loadTable();
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) table.push([...row]);
  return `${table.toString()}\n`;
}

/** Formats a message as one line of protobuf JSON. */
export function renderJson(message: object): string {
  return `${JSON.stringify(toProtobufJson(message))}\n`;
}

/** Formats what a command has to say of its own, and is no message of the API, as one line in the same form. */
export function renderReport(report: object): string {
  return `${JSON.stringify(reportToJson(report))}\n`;
}

/** Prints that a command is done, as text or, as JSON, as a report. */
export function printDone(format: OutputFormat, text: string, report: object): void {
  process.stdout.write(format === 'json' ? renderReport(report) : `${text}\n`);
}

/** Prints rows in any format. As JSON it prints a report instead. */
export function printRows(
  format: OutputFormat,
  report: object,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  if (format === 'json') process.stdout.write(renderReport(report));
  else if (format === 'table') process.stdout.write(renderTable(head, rows));
  else process.stdout.write(rows.map((row) => `${row.join(', ')}\n`).join(''));
}

/** Formats a size for people. */
export function formatSize(sizeBytes: number): string {
  if (sizeBytes < 1024) return `${sizeBytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(sizeBytes) / 10), units.length);
  return `${(sizeBytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

const pairColumns = ['KEY', 'VALUE', 'CREATE REVISION', 'MOD REVISION', 'VERSION'] as const;

function pairRow(pair: mvcc.KeyValue, isHex: boolean): string[] {
  return [
    showBytes(pair.key, isHex).toString(),
    showBytes(pair.value, isHex).toString(),
    String(pair.createRevision),
    String(pair.modRevision),
    String(pair.version),
  ];
}

export interface RangeOutputOptions {
  readonly format: OutputFormat;
  readonly isHex: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly valueOnly: boolean;
}

/** Output is gathered until it has this many bytes. */
const FLUSH_SIZE_BYTES = 64 * 1024;

/** Prints a range while its pages come in. As JSON the pages make one RangeResponse. */
export async function printRange(
  pages: AsyncIterable<regatta.RangeResponse>,
  options: RangeOutputOptions,
): Promise<void> {
  const writer = new Writer();
  switch (options.format) {
    case 'simple':
      await printRangeSimple(pages, options, writer);
      break;
    case 'json':
      await printRangeJson(pages, writer);
      break;
    case 'table': {
      const rows: string[][] = [];
      let count = 0n;
      for await (const page of pages) {
        count += page.count;
        rows.push(...page.kvs.map((pair) => pairRow(pair, options.isHex)));
      }
      writer.write(
        options.countOnly ? renderTable(['COUNT'], [[String(count)]]) : renderTable(pairColumns, rows),
      );
      break;
    }
  }
  await writer.flush();
}

async function printRangeSimple(
  pages: AsyncIterable<regatta.RangeResponse>,
  { isHex, keysOnly, countOnly, valueOnly }: RangeOutputOptions,
  writer: Writer,
): Promise<void> {
  let count = 0n;
  for await (const page of pages) {
    count += page.count;
    for (const pair of page.kvs) {
      if (valueOnly) {
        writer.write(showBytes(pair.value, isHex));
        writer.write('\n');
      } else writePair(writer, pair, isHex, keysOnly);
      await writer.flush(FLUSH_SIZE_BYTES);
    }
  }
  if (countOnly) writer.write(`${count}\n`);
}

async function printRangeJson(pages: AsyncIterable<regatta.RangeResponse>, writer: Writer): Promise<void> {
  let last: regatta.RangeResponse | undefined;
  let count = 0n;
  let hasPairs = false;
  for await (const page of pages) {
    if (!last) writer.write(`{"header":${JSON.stringify(toProtobufJson(page.header ?? {}))}`);
    last = page;
    count += page.count;
    for (const pair of page.kvs) {
      writer.write(`${hasPairs ? ',' : ',"kvs":['}${JSON.stringify(toProtobufJson(pair))}`);
      hasPairs = true;
      await writer.flush(FLUSH_SIZE_BYTES);
    }
  }
  if (hasPairs) writer.write(']');
  if (last?.more) writer.write(',"more":true');
  if (count > 0n) writer.write(`,"count":"${count}"`);
  writer.write('}\n');
}

function writePair(writer: Writer, pair: mvcc.KeyValue, isHex: boolean, keysOnly: boolean): void {
  writer.write(showBytes(pair.key, isHex));
  writer.write('\n');
  if (keysOnly) return;
  writer.write(showBytes(pair.value, isHex));
  writer.write('\n');
}

/** Prints the response to `put`, `del` or `txn`. */
export async function printResponse(
  response: regatta.PutResponse | regatta.DeleteRangeResponse | regatta.TxnResponse,
  format: OutputFormat,
  isHex: boolean,
): Promise<void> {
  const writer = new Writer();
  if (format === 'json') {
    writer.write(renderJson(response));
  } else if ('succeeded' in response) {
    writer.write(response.succeeded ? 'SUCCESS\n' : 'FAILURE\n');
    for (const { response: operation } of response.responses) {
      writer.write('\n');
      if (operation) writeOperation(writer, operation, isHex);
    }
  } else if ('deleted' in response) {
    writeOperation(writer, { $case: 'responseDeleteRange', value: response }, isHex);
  } else {
    writeOperation(writer, { $case: 'responsePut', value: { ...response, more: false } }, isHex);
  }
  await writer.flush();
}

function writeOperation(
  writer: Writer,
  operation: NonNullable<mvcc.ResponseOp['response']>,
  isHex: boolean,
): void {
  switch (operation.$case) {
    case 'responsePut':
      writer.write('OK\n');
      if (operation.value.prevKv) writePair(writer, operation.value.prevKv, isHex, false);
      if (operation.value.more)
        writer.write('(the previous value is left out: the answer would exceed 4 MiB)\n');
      break;
    case 'responseDeleteRange':
      writer.write(`${operation.value.deleted}\n`);
      for (const pair of operation.value.prevKvs) writePair(writer, pair, isHex, false);
      break;
    case 'responseRange':
      if (operation.value.kvs.length === 0 && operation.value.count > 0n) {
        writer.write(`${operation.value.count}\n`);
      }
      for (const pair of operation.value.kvs) writePair(writer, pair, isHex, false);
      break;
  }
}
