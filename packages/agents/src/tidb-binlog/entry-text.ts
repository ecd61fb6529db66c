import { mvcc } from '@coxswain/protocol';
import { CommandKind } from '@coxswain/table';
import type { FoundCommand } from './positions.js';
import { tsoOf } from './tso.js';

/** Characters after which the text is cut off: an entry may hold 4 MiB. */
const TEXT_LENGTH_MAX = 1024 * 1024;

/** The table of an entry, and how much of the entry to show. */
export interface EntryTextOptions {
  readonly table: string;
  /** True to show values, false to show only their lengths. */
  readonly hasValues: boolean;
}

/**
 * Describes an entry for GET /debug/binlog: first a line in the real server's form, a protobuf message as text, then
 * our own lines with table, revision, term, time and the entry's operations by key.
 */
export function describeEntry(found: FoundCommand, options: EntryTextOptions): string {
  const { position, before, term, kind } = found;
  const command = kind === CommandKind.Command ? mvcc.Command.decode(found.command) : undefined;
  const operations =
    command === undefined ? [CommandKind[kind] ?? ''] : operationsOf(command, options.hasValues);
  const firstKey = command === undefined ? undefined : firstKeyOf(command);
  const prewriteKey = firstKey === undefined ? '' : `prewrite_key:${quote(firstKey)} `;
  const lines = [
    `tp:Commit start_ts:${tsoOf(before)} commit_ts:${tsoOf(position)} ${prewriteKey}`,
    '',
    ` Coxswain: `,
    `table: ${quote(Buffer.from(options.table))}`,
    `revision: ${position.index}`,
    `term: ${term}`,
    `time: ${new Date(position.timeMs).toISOString()}`,
    ...operations,
  ];
  const text = lines.join('\n');
  return text.length <= TEXT_LENGTH_MAX ? `${text}\n` : `${text.slice(0, TEXT_LENGTH_MAX)}\n… cut off\n`;
}

/** Quotes bytes as protobuf's text form does: in double quotes, with unprintable and non-ASCII bytes in octal. */
function quote(bytes: Uint8Array): string {
  let text = '"';
  for (const byte of bytes) {
    if (byte === 0x0a) text += '\\n';
    else if (byte === 0x0d) text += '\\r';
    else if (byte === 0x09) text += '\\t';
    else if (byte === 0x22) text += '\\"';
    else if (byte === 0x5c) text += '\\\\';
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return `${text}"`;
}

const { PUT, DELETE, PUT_BATCH, DELETE_BATCH, TXN, SEQUENCE } = mvcc.Command_CommandType;

function operationsOf(command: mvcc.Command, hasValues: boolean): string[] {
  const put = (key: Buffer, value: Buffer): string =>
    `put ${quote(key)} ${hasValues ? quote(value) : `(${value.length} bytes)`}`;
  const { kv, batch, rangeEnd } = command;
  switch (command.type) {
    case PUT:
      return kv === undefined ? [] : [put(kv.key, kv.value)];
    case DELETE:
      return kv === undefined ? [] : [remove(kv.key, rangeEnd)];
    case PUT_BATCH:
      return batch.map(({ key, value }) => put(key, value));
    case DELETE_BATCH:
      return batch.map(({ key }) => remove(key, undefined));
    case TXN: {
      const { compare = [], success = [], failure = [] } = command.txn ?? {};
      const operation = ({ request }: mvcc.RequestOp): string => {
        if (request?.$case === 'requestPut') return put(request.value.key, request.value.value);
        if (request?.$case === 'requestDeleteRange') return remove(request.value.key, request.value.rangeEnd);
        return request?.$case === 'requestRange' ? `range ${quote(request.value.key)}` : 'nothing';
      };
      return [
        ...compare.map(({ key }) => `compare ${quote(key)}`),
        ...success.map((each) => `success: ${operation(each)}`),
        ...failure.map((each) => `failure: ${operation(each)}`),
      ];
    }
    case SEQUENCE:
      return command.sequence.flatMap((inner) => operationsOf(inner, hasValues));
    default:
      return ['no change'];
  }
}

function remove(key: Buffer, rangeEnd: Buffer | undefined): string {
  const hasEnd = rangeEnd !== undefined && rangeEnd.length > 0;
  return hasEnd ? `delete ${quote(key)} to ${quote(rangeEnd)}` : `delete ${quote(key)}`;
}

/** Returns the first key that a command names; undefined when it names none. */
function firstKeyOf({ kv, batch, txn, sequence }: mvcc.Command): Buffer | undefined {
  const operation = [...(txn?.success ?? []), ...(txn?.failure ?? [])][0]?.request?.value;
  const named = kv?.key ?? batch[0]?.key ?? operation?.key ?? txn?.compare[0]?.key;
  if (named !== undefined) return named;
  for (const inner of sequence) {
    const key = firstKeyOf(inner);
    if (key !== undefined) return key;
  }
  return undefined;
}
