/**
 * Texts for the parsers: written by hand, one for each thing that serde decides, and made from these by a seed. What the
 * real crates make of them is in golden/.
 */

export type TextKind = 'append' | 'snapshot' | 'state' | 'apply';
export type Text = readonly [kind: TextKind, text: string];

const HEAD = '"term":2,"leader_id":0,"prev_log_index":1,"prev_log_term":1';
const append = (entries: string, commit = '3') =>
  `{${HEAD},"entries":[${entries}],"leader_commit":${commit}}`;
const entry = (payload: string) => `{"term":2,"index":2,"payload":${payload}}`;
const one = (payload: string) => append(entry(payload));
const data = (fields: string) => one(`{"Normal":{"data":${fields}}}`);
const change = (membership: string) => one(`{"ConfigChange":{"membership":${membership}}}`);
const term = (text: string) =>
  `{"term":${text},"leader_id":0,"prev_log_index":1,"prev_log_term":1,"entries":[],"leader_commit":3}`;
const client = (text: string) => data(`{"client":${text},"serial":7,"status":"s"}`);
const unknown = (text: string) => `{${HEAD},"entries":[],"leader_commit":3,"extra":${text}}`;
const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

const appends = [
  // What real leaders send.
  append(''),
  append('', '0'),
  one('"Blank"'),
  one('{"Normal":{"data":{"client":"c","serial":7,"status":"s"}}}'),
  change('{"members":[1,0,2],"members_after_consensus":null}'),
  change('{"members":[0],"members_after_consensus":[0]}'),
  one('{"SnapshotPointer":{"id":"snap-1","membership":{"members":[0],"members_after_consensus":null}}}'),
  append(
    `${entry('"Blank"')},{"term":2,"index":3,"payload":{"Normal":{"data":{"client":"c","serial":8,"status":"t"}}}}`,
    '9007199254740991',
  ),
  // Other forms that serde takes.
  one('{"Blank":null}'),
  one(' { "Blank" : null } '),
  change('{"members":[1]}'),
  change('{"members":[1,1,1]}'),
  change('{"members":[]}'),
  change('{"members_after_consensus":[4],"members":[4]}'),
  '[2,0,1,1,[],3]',
  '[2,0,1,1,[[2,2,"Blank"]],3]',
  '[2,0,1,1,[[2,2,{"Normal":[["c",7,"s"]]}]],3]',
  '[2,0,1,1,[[2,2,{"ConfigChange":[[[1],null]]}]],3]',
  '[2,0,1,1,[[2,2,{"SnapshotPointer":["id",[[1],[1]]]}]],3]',
  `{"leader_commit":3,"entries":[],${HEAD}}`,
  ` \t\r\n{ ${HEAD} , "entries" : [ ] , "leader_commit" : 3 } \n`,
  '{"te\\u0072m":2,"leader_id":0,"prev_log_index":1,"prev_log_term":1,"entries":[],"leader_commit":3}',
  one('{"Bl\\u0061nk":null}'),
  one('"Bl\\u0061nk"'),
  unknown('null'),
  unknown('[{},[],{"a":[1,2,{"b":"c"}]},true,false,-0,-1.5e-7,1e999,123456789012345678901234567890]'),
  unknown('"\\ud800"'),
  unknown('"\\ud800\\n"'),
  unknown(deep(1000)),
  `{"extra":1,"extra":2,${HEAD},"entries":[],"leader_commit":3}`,
  data('{"client":"c","serial":7,"status":"s","command2":{"deep":[1]}}'),
  data('{"status":"s","serial":0,"client":""}'),
  client('"\\u00e9\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f"'),
  client('"é😀\u007f\u2028/"'),
  term('0'),
  term('9007199254740991'),
  // What it takes and a node of ours does not: integers above 2^53-1.
  term('9007199254740992'),
  term('18446744073709551615'),
  data('{"client":"c","serial":9007199254740993,"status":"s"}'),
  change('{"members":[18446744073709551615]}'),
  // What it refuses.
  '',
  ' ',
  'null',
  '{}',
  '[]',
  '2',
  '"Blank"',
  'append',
  ...['term', 'leader_id', 'prev_log_index', 'prev_log_term', 'leader_commit'].map((field) =>
    append('')
      .replace(new RegExp(`"${field}":\\d,?`), '')
      .replace(',}', '}'),
  ),
  `{${HEAD},"leader_commit":3}`,
  ...[
    'null',
    '-1',
    '-0',
    '1.0',
    '1e0',
    '1E2',
    '"1"',
    'true',
    '[1]',
    '{}',
    '01',
    '00',
    '+1',
    '0x1',
    '1_0',
    'NaN',
    '18446744073709551616',
    '99999999999999999999',
    '100000000000000000000',
    '-9223372036854775809',
    '1.',
    '.5',
    '1e',
    '- 1',
    '',
  ].map(term),
  `{"term":2,${HEAD},"entries":[],"leader_commit":3}`,
  append('').replace('"entries":[]', '"entries":null'),
  append('').replace('"entries":[]', '"entries":{}'),
  append('').replace('"entries":[]', '"entries":"Blank"'),
  append('null'),
  append('{}'),
  append('[]'),
  append(`${entry('"Blank"')},`),
  append(`,${entry('"Blank"')}`),
  append('{"term":2,"index":2}'),
  append('{"term":2,"index":2,"index":2,"payload":"Blank"}'),
  append('{"term":2,"index":-2,"payload":"Blank"}'),
  `${append('')}x`,
  `${append('')}{}`,
  `${append('')},`,
  `\ufeff${append('')}`,
  append('').slice(0, -1),
  append('').replace('}', ',}'),
  append('').replaceAll('"', "'"),
  append('').replace(':2', '=2'),
  append('').replace('"term":2,', '"term":2 '),
  `//\n${append('')}`,
  `\v${append('')}`,
  `\u00a0${append('')}`,
  '[2,0,1,1,[]]',
  '[2,0,1,1,[],3,4]',
  '[2,0,1,1,[],3,]',
  '[2,0,1,1,[[2,2,"Blank",1]],3]',
  '[2,0,1,1,[[2,2,{"Normal":[["c",7]]}]],3]',
  '[2,0,1,1,[[2,2,{"Normal":[["c",7,"s",1]]}]],3]',
  '[2,0,1,1,[[2,2,{"Normal":["c",7,"s"]}]],3]',
  '[2,0,1,1,[[2,2,{"ConfigChange":[[[1]]]}]],3]',
  ...[
    '"blank"',
    '"Normal"',
    '"Other"',
    '""',
    'null',
    '0',
    '{}',
    '[]',
    '["Blank"]',
    '{"Blank":{}}',
    '{"Blank":[]}',
    '{"Blank":0}',
    '{"Blank":""}',
    '{"Blank"}',
    '{"Blank":null,}',
    '{"Blank":null,"x":1}',
    '{"Blank":null,"Blank":null}',
    '{"Other":null}',
    '{"Normal":null}',
    '{"Normal":{}}',
    '{"Normal":"s"}',
    '{"Normal":{"data":null}}',
    '{"ConfigChange":{}}',
    '{"SnapshotPointer":{"id":"x"}}',
    '{"SnapshotPointer":{"id":1,"membership":{"members":[]}}}',
    '{"Normal":{"data":{"client":"c","serial":7,"status":"s"},"data":1}}',
    '{"x":1,"Blank":null}',
    '{"Blank":nul}',
    '{"Blank":nulll}',
  ].map(one),
  ...[
    '"s"',
    '{}',
    '["c"]',
    '{"client":"c","serial":7}',
    '{"client":"c","status":"s"}',
    '{"serial":7,"status":"s"}',
    '{"client":null,"serial":7,"status":"s"}',
    '{"client":1,"serial":7,"status":"s"}',
    '{"client":"c","serial":"7","status":"s"}',
    '{"client":"c","serial":7.0,"status":"s"}',
    '{"client":"c","client":"c","serial":7,"status":"s"}',
    '{"client":"c","serial":18446744073709551616,"status":"s"}',
  ].map(data),
  ...[
    '"\\ud800"',
    '"\\ud800\\ud800"',
    '"\\udc00"',
    '"\\ud800x"',
    '"\\ud800\\n"',
    '"\\u12"',
    '"\\u123g"',
    '"\\x"',
    '"\\',
    '"\\"',
    '"a\nb"',
    '"a\u0000b"',
    '"\u001f"',
    '"',
  ].map(client),
  ...[
    'null',
    '{}',
    '[]',
    '[null]',
    '{"members":null}',
    '{"members":{}}',
    '{"members":"1"}',
    '{"members":[-1]}',
    '{"members":["1"]}',
    '{"members":[1.0]}',
    '{"members":[1,]}',
    '{"members":[1],"members":[1]}',
    '{"members":[1],"members_after_consensus":1}',
    '{"members":[1],"members_after_consensus":{}}',
    '{"members_after_consensus":[1]}',
    '{"members":[1],"members_after_consensus":[null]}',
  ].map(change),
  ...[
    '-',
    '-a',
    '01',
    '1.',
    '1.e',
    '1e',
    '1e+',
    '+1',
    '.1',
    'tru',
    'truee',
    'nul',
    'Null',
    '[',
    '{',
    '[1',
    '[1,',
    '[1,]',
    '[,]',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{a:1}',
    '{1:1}',
    '"',
    '"\\x"',
    '"\\u12g4"',
    '"\n"',
    ']',
    '}',
    '[}',
    '{]',
    '[{]}',
    '1 2',
    deep(1000).slice(1),
    '"\\',
    "'a'",
  ].map(unknown),
];

const snapshot = (fields: string) =>
  `{"index":9,"term":2,"membership":{"members":[0],"members_after_consensus":null},${fields}}`;

const snapshots = [
  snapshot('"data":[]'),
  snapshot('"data":[0]'),
  snapshot('"data":[123,34,0,255,9,10,100]'),
  snapshot('"data": [ 1 , 2 ,\n3 ]'),
  snapshot('"d\\u0061ta":[1,2]'),
  '{"data":[1,2],"membership":{"members":[0]},"term":2,"index":9}',
  '[9,2,[[0],null],[1,2,3]]',
  '[ 9 , 2 , { "members" : [ 0 , 0 ] } , [ 1 ] ]',
  snapshot('"extra":{"data":[1,2,{"data":[3]}]},"data":[1]'),
  snapshot('"extra":"data","data":[1]'),
  snapshot('"extra":"\\"data\\"[","data":[1]'),
  snapshot('"extra":["data",[256]],"data":[1]'),
  '',
  '{}',
  '[9,2,[[0],null]]',
  '[9,2,[[0],null],[1],1]',
  '[9,2,[[0]],[1]]',
  snapshot('"data":null'),
  snapshot('"data":{}'),
  snapshot('"data":"AQ=="'),
  snapshot('"data":[256]'),
  snapshot('"data":[-1]'),
  snapshot('"data":[1.0]'),
  snapshot('"data":[1e0]'),
  snapshot('"data":[01]'),
  snapshot('"data":[00]'),
  snapshot('"data":["1"]'),
  snapshot('"data":[null]'),
  snapshot('"data":[[1]]'),
  snapshot('"data":[1,]'),
  snapshot('"data":[,1]'),
  snapshot('"data":[1 2]'),
  snapshot('"data":[1,,2]'),
  snapshot('"data":[1'),
  snapshot('"data":[1]').slice(0, -1),
  `${snapshot('"data":[1]')}x`,
  snapshot('"data":[1],"data":[2]'),
  snapshot('"data" [1]'),
  snapshot('"data",[1]'),
  snapshot('"Data":[1]'),
  snapshot('"data":[1000]'),
  snapshot('"data":[99999999999999999999999]'),
  '{"index":9,"term":2,"data":[1]}',
  '{"index":9,"membership":{"members":[0]},"data":[1]}',
  '{"index":"9","term":2,"membership":{"members":[0]},"data":[1]}',
  '{"index":9,"index":9,"term":2,"membership":{"members":[0]},"data":[1]}',
];

const states = [
  '{"last_applied_log":9,"client_serial_responses":{"c":[7,null]},"client_status":{"c":"s"}}',
  '{"last_applied_log":9,"client_serial_responses":{"c":[7,"before"]},"client_status":{"c":"s"}}',
  '{"last_applied_log":0,"client_serial_responses":{},"client_status":{}}',
  '[9,{"c":[7,null]},{"c":"s"}]',
  '{"last_applied_log":9,"client_serial_responses":{"c":[7,null],"c":[8,"x"]},"client_status":{"c":"s","c":"t"}}',
  '{"last_applied_log":9,"client_serial_responses":{},"client_status":{},"extra":[]}',
  '',
  '{}',
  '{"last_applied_log":9,"client_serial_responses":{"c":[7]},"client_status":{"c":"s"}}',
  '{"last_applied_log":9,"client_serial_responses":{"c":[7,null,1]},"client_status":{"c":"s"}}',
  '{"last_applied_log":9,"client_serial_responses":{"c":{"0":7,"1":null}},"client_status":{}}',
  '{"last_applied_log":9,"client_serial_responses":{"c":[7,1]},"client_status":{}}',
  '{"last_applied_log":9,"client_serial_responses":{"c":["7",null]},"client_status":{}}',
  '{"last_applied_log":9,"client_serial_responses":[],"client_status":{}}',
  '{"last_applied_log":9,"client_serial_responses":null,"client_status":{}}',
  '{"last_applied_log":9,"client_serial_responses":{},"client_status":{"c":null}}',
  '{"last_applied_log":-1,"client_serial_responses":{},"client_status":{}}',
  '{"last_applied_log":9,"client_serial_responses":{}}',
];

const applied = (requests: readonly (readonly [client: string, serial: number, status: string])[]) =>
  JSON.stringify(requests.map(([client, serial, status]) => ({ client, serial, status })));

/** Requests that a state machine applies one after another. */
const applies = [
  applied([]),
  applied([['c', 1, 'a']]),
  // Only the client's last serial is passed over, ...
  applied([
    ['c', 7, 'a'],
    ['c', 7, 'b'],
  ]),
  // ... a lower one is not, ...
  applied([
    ['c', 7, 'a'],
    ['c', 3, 'b'],
  ]),
  // ... nor is an earlier one that comes back.
  applied([
    ['c', 7, 'a'],
    ['c', 3, 'b'],
    ['c', 7, 'c'],
  ]),
  applied([
    ['c', 0, 'a'],
    ['c', 0, 'b'],
    ['d', 0, 'c'],
    ['', 0, 'd'],
    ['', 0, 'e'],
  ]),
];

const asTexts = (kind: TextKind, texts: readonly string[]): Text[] => texts.map((text) => [kind, text]);

/** Those written by hand. */
export const texts: readonly Text[] = [
  ...asTexts('append', appends),
  ...asTexts('snapshot', snapshots),
  ...asTexts('state', states),
  ...asTexts('apply', applies),
];

/** Those that a parser of this package reads. */
const parsed = texts.filter(([kind]) => kind !== 'apply');

/** What a mutation puts in: pieces of the grammar, where a parser goes wrong. */
const PIECES = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\\u',
  'd800',
  'null',
  'true',
  '0',
  '1',
  '-',
  '.',
  'e',
  '+',
  ' ',
  '\n',
  '\t',
  '\u0000',
  '"Blank"',
  '"Normal"',
  '"data"',
  '"members"',
  '"term"',
  'é',
  '😀',
  '255',
  '256',
  '18446744073709551615',
  '9007199254740991',
];

/** Where it is put between two values, or in a number or text, the text most often stays valid. */
const HARMLESS = [' ', '\n', '\t', '\r', '1', '7'];

/** Texts of a seed: those above with one to four pieces taken out, doubled, or put in. */
export function mutatedTexts(count: number, seed: number): Text[] {
  const random = randomOf(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  return Array.from({ length: count }, (): Text => {
    const [kind, original] = parsed[below(parsed.length)]!;
    let text = original.length > 600 ? original.slice(0, 600) : original;
    for (let edits = 1 + below(3); edits > 0; edits--) {
      const at = below(text.length + 1);
      const end = Math.min(at + 1 + below(6), text.length);
      const harmless = HARMLESS[below(HARMLESS.length)]!;
      const piece = [
        PIECES[below(PIECES.length)]!,
        text.slice(at, end).repeat(2),
        '',
        harmless,
        harmless,
        harmless,
      ][below(6)]!;
      text = text.slice(0, at) + piece + text.slice(piece === harmless || random() < 0.5 ? at : end);
    }
    // A pair that was cut apart is no text that UTF-8 could carry.
    return [kind, Buffer.from(text).toString()];
  });
}

/** Mulberry32: uniform in [0, 1), the same for a seed everywhere. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
