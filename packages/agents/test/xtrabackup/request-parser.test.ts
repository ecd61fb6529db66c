import { describe, expect, test } from '@jest/globals';
import {
  AgentRequestError,
  encodeBlock,
  type KeyValues,
  LINE_BYTES_MAX,
  PAIRS_MAX,
  RequestParser,
} from '../../src/xtrabackup/key-value-block.js';

/** The request of the protocol's own description. */
const EXAMPLE = `0.76.1
6
action=copy from
user=backupdb
password=s3cUre
backup-level=0
replication=1
file=/srv/backups/BackupSet/20110304005033/ZRM_LINKS/.

`;

function parse(text: string, pieceBytes = Number.POSITIVE_INFINITY): KeyValues | undefined {
  const parser = new RequestParser();
  const bytes = Buffer.from(text, 'latin1');
  let found: KeyValues | undefined;
  for (let at = 0; at < bytes.length; at += pieceBytes)
    found = parser.push(bytes.subarray(at, at + pieceBytes));
  return found;
}

function refusal(text: string): string {
  try {
    parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(AgentRequestError);
    return (error as Error).message;
  }
  throw new Error('the request was taken');
}

describe('a request', () => {
  test('is read as the protocol describes it, however it is cut into pieces', () => {
    for (const pieceBytes of [1, 2, 7, 64, 1000]) {
      expect([...parse(EXAMPLE, pieceBytes)!]).toEqual([
        ['action', 'copy from'],
        ['user', 'backupdb'],
        ['password', 's3cUre'],
        ['backup-level', '0'],
        ['replication', '1'],
        ['file', '/srv/backups/BackupSet/20110304005033/ZRM_LINKS/.'],
      ]);
    }
  });

  test('is not there before its blank line, and what comes behind it is no part of it', () => {
    expect(parse(EXAMPLE.slice(0, -1))).toBeUndefined();
    expect(parse(`${EXAMPLE}whatever\n\n`)?.size).toBe(6);
    expect(parse('0.76.1\n0\n\n')?.size).toBe(0);
  });

  test('has 200 pairs at most, with any characters but control characters', () => {
    const lines = Array.from(
      { length: PAIRS_MAX },
      (_, place) => `k${place}=!"#%&'()*+,-./:;<=>?@[]^_{|}~ \u00fc\n`,
    );
    expect(PAIRS_MAX).toBe(200);
    expect(parse(`0.76.1\n${PAIRS_MAX}\n${lines.join('')}\n`)?.size).toBe(PAIRS_MAX);
  });

  test('has values with = in them, and empty ones', () => {
    expect([...parse('0.76.1\n2\na=b=c=\nd=\n\n')!]).toEqual([
      ['a', 'b=c='],
      ['d', ''],
    ]);
  });

  test.each(['0.76.1', '0.76.0', '0.76.999', '0.75.9', '0.0.0'])('of version %s is taken', (version) => {
    expect(parse(`${version}\n0\n\n`)).toBeDefined();
  });

  test.each(['1.0.0', '0.77.0', '2.76.1'])('of version %s is refused', (version) => {
    expect(refusal(`${version}\n`)).toBe(
      `version ${version} of the protocol is not spoken here: this agent speaks 0.76.1`,
    );
  });

  test.each(['', '76.1', '0.76', '0.76.1.0', 'v0.76.1', '0.76.1\r', 'GET / HTTP/1.1', '-0.76.1'])(
    'that begins with %j is refused',
    (line) => {
      expect(refusal(`${line}\n`)).toBe('the first line must be the version of the protocol, such as 0.76.1');
    },
  );

  test.each([
    ['0.76.1\nsix\n', 'the second line must be the number of key=value lines'],
    ['0.76.1\n-1\n', 'the second line must be the number of key=value lines'],
    ['0.76.1\n\n', 'the second line must be the number of key=value lines'],
    ['0.76.1\n1e1\n', 'the second line must be the number of key=value lines'],
    [
      `0.76.1\n${PAIRS_MAX + 1}\n`,
      `a request has at most ${PAIRS_MAX} key=value lines, not ${PAIRS_MAX + 1}`,
    ],
    ['0.76.1\n3\na=1\nb=2\n\n', 'the request announces 3 key=value lines and has 2'],
    ['0.76.1\n1\na=1\nb=2\n\n', 'a blank line must follow the 1 key=value lines that the request announces'],
    ['0.76.1\n2\na=1\nbee\n\n', 'line 4 of the request is not key=value'],
    ['0.76.1\n1\n=1\n\n', 'line 3 of the request is not key=value'],
    ['0.76.1\n2\na=1\nb=2\u0000\n\n', 'Bad data in line 4 of the request: a control character'],
    ['0.76.1\n1\na=1\r\n\n', 'Bad data in line 3 of the request: a control character'],
    ['0.76.1\n1\n\u001ba=1\n\n', 'Bad data in line 3 of the request: a control character'],
    ['0.76.1\n2\na=1\na=2\n\n', 'line 4 of the request gives a key that was given before'],
  ])('%j is refused', (text, message) => {
    expect(refusal(text)).toBe(message);
  });

  test('has no line and no length without a limit, also where no line ends', () => {
    const longest = 'x'.repeat(LINE_BYTES_MAX - 2);
    expect(parse(`0.76.1\n1\na=${longest}\n\n`)?.get('a')).toHaveLength(LINE_BYTES_MAX - 2);
    expect(refusal(`0.76.1\n1\na=${longest}y\n\n`)).toBe('a line of the request is longer than 65536 bytes');
    expect(refusal('x'.repeat(LINE_BYTES_MAX + 1))).toBe('a line of the request is longer than 65536 bytes');
    const lines = Array.from({ length: 17 }, (_, place) => `k${place}=${'x'.repeat(65_000)}\n`);
    expect(refusal(`0.76.1\n17\n${lines.join('')}\n`)).toBe('the request is longer than 1048576 bytes');
  });

  test('that breaks off tells what it lacks', () => {
    const missing = (text: string): string => {
      const parser = new RequestParser();
      parser.push(Buffer.from(text));
      return parser.missing;
    };
    expect(missing('0.76')).toBe('the version line');
    expect(missing('0.76.1\n2')).toBe('the line with the number of pairs');
    expect(missing('0.76.1\n2\na=1\nb')).toBe('1 of 2 key=value lines');
    expect(missing('0.76.1\n2\na=1\nb=2\n')).toBe('the blank line that ends it');
  });
});

test('an answer is a count, so many lines and a blank one, and no value begins a line of its own', () => {
  expect(encodeBlock({ status: 'error', msg: 'one\ntwo\r\n\n3=4' })).toBe(
    '2\nstatus=error\nmsg=one two 3=4\n\n',
  );
  expect(encodeBlock({})).toBe('0\n\n');
});
