import { describe, expect, test } from '@jest/globals';
import { baseName, gapName, isClusterId, logName, manifestName, parseName } from '../src/names.js';
import { isName } from '../src/store.js';

const SHARD = { clusterId: 'c0ffee', shardId: 17 };
const SHA256 = '0123456789abcdef'.repeat(4);
const MOST = Number.MAX_SAFE_INTEGER;

describe('the names of an archive', () => {
  test('say what their objects hold', () => {
    const log = logName(SHARD, 1, 2_000_000_000, SHA256);
    expect(log).toBe('c0ffee/17/log/0000000000000001-0000002000000000-0123456789abcdef.log');
    expect(parseName(log)).toEqual({
      kind: 'log',
      name: log,
      shard: SHARD,
      first: 1,
      last: 2_000_000_000,
      hash: '0123456789abcdef',
    });
    const base = baseName(SHARD, MOST, 'feedfacefeedface');
    expect(parseName(base)).toEqual({ kind: 'base', name: base, shard: SHARD, revision: MOST });
    const gap = gapName(SHARD, 5, 5);
    expect(parseName(gap)).toEqual({ kind: 'gap', name: gap, shard: SHARD, first: 5, last: 5 });
    const manifest = manifestName(SHARD, 9);
    expect(parseName(manifest)).toEqual({ kind: 'manifest', name: manifest, shard: SHARD, chapter: 9 });
  });

  test('can be stored, and sort as the indices do', () => {
    const names = [1, 9, 10, 99, 1_000_000_000, MOST].map((index) => logName(SHARD, index, index, SHA256));
    expect(names.every(isName)).toBe(true);
    expect([...names].sort()).toEqual(names);
  });

  test.each([
    'c0ffee/17/log/1-2-0123456789abcdef.log',
    'c0ffee/17/log/0000000000000002-0000000000000001-0123456789abcdef.log',
    'c0ffee/17/log/9999999999999999-9999999999999999-0123456789abcdef.log',
    'c0ffee/0/gaps/0000000000000001-0000000000000001.json',
    'c0ffee/9999999999999999/gaps/0000000000000001-0000000000000001.json',
    'c0ffee/17/manifest.json',
    'c0ffee/17/log/',
    'x/c0ffee/17/manifest/0000000000000001.json',
    'c0ffee/17/manifest/0000000000000001.json.bak',
  ])('do not include %s', (name) => {
    expect(parseName(name)).toBeUndefined();
  });

  test('have room for the ids of clusters only', () => {
    expect(isClusterId('0f3a-b')).toBe(true);
    expect(isClusterId('a/b')).toBe(false);
    expect(isClusterId('')).toBe(false);
    expect(isClusterId('..')).toBe(false);
  });
});
