import { type Bytes, compare, type Operator, operation, prefixEnd, toEnd } from '@coxswain/client';
import type { mvcc } from '@coxswain/protocol';
import { usageError } from './exit.js';
import { toBytes } from './key-range.js';

/** A transaction, as `coxswain txn` reads it. */
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
 * quoted value. Operations are put, get and del with words or quoted texts. With `isHex` keys and values are pairs of
 * hexadecimal digits, quoted or not.
 */
export function parseTxnText(text: string, isHex = false): TxnText {
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
    compares: sections[0]!.map((line) => parseCompare(line, isHex)),
    success: sections[1]!.map((line) => parseOperation(line, isHex)),
    failure: sections[2]!.map((line) => parseOperation(line, isHex)),
  };
}

const comparePattern = /^(\w+)\s*\(\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^")]*)\s*\)\s*(!=|=|<|>)\s*(.+)$/;

function parseCompare(line: string, isHex: boolean): mvcc.Compare {
  const match = comparePattern.exec(line);
  if (!match) throw usageError(`txn: not a compare, such as mod("key") > "0": ${line}`);
  const [, target, keyText = '', operator, rightText = ''] = match;
  const key = readBytes(keyText, isHex);
  const right = rightText.trim();
  switch (target) {
    case 'value':
    case 'val':
      return compare.value(key, operator as Operator, readBytes(right, isHex));
    case 'version':
    case 'ver':
      return compare.version(
        key,
        operator as Operator,
        parseInteger(readBytes(right, false).toString(), line),
      );
    case 'create':
    case 'c':
      return compare.createRevision(
        key,
        operator as Operator,
        parseInteger(readBytes(right, false).toString(), line),
      );
    case 'mod':
    case 'm':
      return compare.modRevision(
        key,
        operator as Operator,
        parseInteger(readBytes(right, false).toString(), line),
      );
    default:
      throw usageError(`txn: not a compare: ${target}: use value, version, create or mod`);
  }
}

function parseInteger(text: string, line: string): bigint {
  if (!/^\d{1,19}$/.test(text))
    throw usageError(`txn: a revision or version must be a whole number: ${line}`);
  return BigInt(text);
}

function parseOperation(line: string, isHex: boolean): mvcc.RequestOp {
  // A quoted text is one word, and only a word that is not quoted is a flag.
  const words = line.match(/"(?:[^"\\]|\\.)*"|'[^']*'|\S+/g) ?? [];
  const flags = new Map<string, string>();
  const names = words.filter((word) => {
    const flag = /^--([\w-]+)(?:=(.*))?$/.exec(word);
    if (flag) flags.set(flag[1]!, flag[2] ?? 'true');
    return !flag;
  });
  const [name, keyText, secondText, ...rest] = names;
  if (keyText === undefined || rest.length > 0) throw usageError(`txn: not an operation: ${line}`);
  const key = readBytes(keyText, isHex);
  const second = secondText === undefined ? undefined : readBytes(secondText, isHex);
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

/**
 * Returns the bytes of a key or value, which is a word or a text in quotes. In double quotes the escapes are those of
 * JSON, and `\xNN` for a byte. Throws a usage error.
 */
function readBytes(text: string, isHex: boolean): Buffer {
  const quote = text.length > 1 && text.at(0) === text.at(-1) ? text.at(0) : undefined;
  if (quote === undefined && /^["']/.test(text)) throw usageError(`txn: a quote is not closed: ${text}`);
  const inner = quote === '"' || quote === "'" ? text.slice(1, -1) : text;
  if (isHex) return Buffer.from(toBytes(inner, true));
  return quote === '"' ? readEscapes(inner) : Buffer.from(inner);
}

function readEscapes(text: string): Buffer {
  const pieces: Buffer[] = [];
  let json = '';
  const end = (): void => {
    try {
      pieces.push(Buffer.from(JSON.parse(`"${json}"`) as string));
    } catch (cause) {
      throw usageError(`txn: not a quoted text: "${text}": its escapes are those of JSON, and \\xNN`, {
        cause,
      });
    }
    json = '';
  };
  for (const [token, digits] of text.matchAll(/\\x([0-9a-f]{2})|\\?[\s\S]/gi)) {
    if (digits === undefined) {
      json += token;
      continue;
    }
    end();
    pieces.push(Buffer.from(digits, 'hex'));
  }
  end();
  return Buffer.concat(pieces);
}
