import { type Bytes, compare, type Operator, operation, prefixEnd, toEnd } from '@coxswain/client';
import type { mvcc } from '@coxswain/protocol';
import { usageError } from './exit.js';

/** A transaction as `coxswain txn` reads it. */
export interface TxnText {
  readonly compares: mvcc.Compare[];
  readonly success: mvcc.RequestOp[];
  readonly failure: mvcc.RequestOp[];
}

/**
 * Reads etcdctl's text form: compares, an empty line, the operations of success, an empty line, those of failure.
 *
 *     mod("key") > "0"
 *
 *     put key "a new value"
 *
 *     get key --prefix
 *
 * Compares are `value`, `version`, `create`, `mod` (or val, ver, c, m) of a quoted key, one of = != < >, and a
 * quoted value. Operations are put, get and del with words or quoted texts.
 */
export function parseTxnText(text: string): TxnText {
  const sections: string[][] = [[], [], []];
  let section = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '') {
      section++;
    } else if (section > 2) {
      throw usageError(`txn: line ${index + 1}: nothing may follow the operations of failure`);
    } else {
      sections[section]!.push(line);
    }
  }
  return {
    compares: sections[0]!.map(parseCompare),
    success: sections[1]!.map(parseOperation),
    failure: sections[2]!.map(parseOperation),
  };
}

const comparePattern = /^(\w+)\s*\(\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^")]*)\s*\)\s*(!=|=|<|>)\s*(.+)$/;

function parseCompare(line: string): mvcc.Compare {
  const match = comparePattern.exec(line);
  if (!match) throw usageError(`txn: not a compare, such as mod("key") > "0": ${line}`);
  const [, target, keyText = '', operator, rightText = ''] = match;
  const key = unquote(keyText);
  const right = unquote(rightText.trim());
  switch (target) {
    case 'value':
    case 'val':
      return compare.value(key, operator as Operator, right);
    case 'version':
    case 'ver':
      return compare.version(key, operator as Operator, parseInteger(right, line));
    case 'create':
    case 'c':
      return compare.createRevision(key, operator as Operator, parseInteger(right, line));
    case 'mod':
    case 'm':
      return compare.modRevision(key, operator as Operator, parseInteger(right, line));
    default:
      throw usageError(`txn: not a compare: ${target}: use value, version, create or mod`);
  }
}

function parseInteger(text: string, line: string): bigint {
  if (!/^\d{1,19}$/.test(text))
    throw usageError(`txn: a revision or version must be a whole number: ${line}`);
  return BigInt(text);
}

function parseOperation(line: string): mvcc.RequestOp {
  const words = splitWords(line);
  const flags = new Map<string, string>();
  const names = words.filter((word) => {
    const flag = /^--([\w-]+)(?:=(.*))?$/.exec(word);
    if (flag) flags.set(flag[1]!, flag[2] ?? 'true');
    return !flag;
  });
  const [name, key, second, ...rest] = names;
  if (key === undefined || rest.length > 0) throw usageError(`txn: not an operation: ${line}`);
  const allow = (...allowed: readonly string[]): void => {
    for (const flag of flags.keys()) {
      if (!allowed.includes(flag)) throw usageError(`txn: unknown flag --${flag}: ${line}`);
    }
  };
  const range = (): { rangeEnd?: Bytes } => {
    if (flags.has('prefix')) return { rangeEnd: prefixEnd(key) };
    if (flags.has('from-key')) return { rangeEnd: toEnd };
    return second === undefined ? {} : { rangeEnd: second };
  };
  switch (name) {
    case 'put':
      allow('prev-kv');
      if (second === undefined) throw usageError(`txn: put needs a key and a value: ${line}`);
      return operation.put(key, second, { prevKv: flags.has('prev-kv') });
    case 'get':
      allow('prefix', 'from-key', 'limit', 'keys-only', 'count-only');
      return operation.range(key, {
        ...range(),
        limit: parseInteger(flags.get('limit') ?? '0', line),
        keysOnly: flags.has('keys-only'),
        countOnly: flags.has('count-only'),
      });
    case 'del':
      allow('prefix', 'from-key', 'prev-kv');
      return operation.deleteRange(key, { ...range(), prevKv: flags.has('prev-kv') });
    default:
      throw usageError(`txn: not an operation: ${name}: use put, get or del`);
  }
}

/** Words are separated by spaces; a quoted text is one word. */
function splitWords(line: string): string[] {
  const words = line.match(/"(?:[^"\\]|\\.)*"|'[^']*'|\S+/g) ?? [];
  return words.map(unquote);
}

/** Takes the quotes off; escapes in double quotes are those of JSON and `\xNN`. */
function unquote(text: string): string {
  if (text.startsWith("'") && text.endsWith("'") && text.length > 1) return text.slice(1, -1);
  if (!(text.startsWith('"') && text.endsWith('"') && text.length > 1)) return text;
  try {
    return JSON.parse(text.replace(/\\x([0-9a-f]{2})/gi, '\\u00$1')) as string;
  } catch (cause) {
    throw usageError(`txn: not a quoted text: ${text}${cause instanceof SyntaxError ? '' : String(cause)}`);
  }
}
