import { describe, expect, test } from '@jest/globals';
import { parseOptions, UsageError } from '../src/options.js';

describe('the command line', () => {
  test('has defaults for everything', () => {
    expect(parseOptions([])).toMatchObject({
      peers: [],
      to: 'all',
      workloads: ['put', 'read-linearizable', 'read-serializable', 'range-100', 'mixed'],
      inFlight: [1, 16, 256, 1024],
      valueSizeBytes: 256,
      nodeCount: 3,
      tableCount: 1,
      jsonFile: undefined,
    });
  });

  test('takes peers, lists and systems that already run', () => {
    const options = parseOptions([
      ...['--against', 'etcd', '--in-flight', '1,8', '--workloads', 'put,mixed', '--seconds', '0.5'],
      ...['--to', 'leader'],
      ...['--endpoints', 'etcd=a:1,b:2', '--endpoints', 'coxswain=c:3'],
    ]);
    expect(options).toMatchObject({
      peers: ['etcd'],
      to: 'leader',
      inFlight: [1, 8],
      workloads: ['put', 'mixed'],
      durationMs: 500,
    });
    expect([...options.endpoints]).toEqual([
      ['etcd', ['a:1', 'b:2']],
      ['coxswain', ['c:3']],
    ]);
  });

  test.each([
    [['--unknown'], '--unknown'],
    [['--against', 'zookeeper'], 'zookeeper is none of etcd'],
    [['--to', 'followers'], 'followers is none of all, leader'],
    [['--to', 'all,leader'], '--to takes one of all, leader'],
    [['--workloads', 'puts'], 'puts is none of put'],
    [['--in-flight', '0'], '0 is not above 0'],
    [['--rounds', '1.5'], '1.5 is not a whole number'],
    [['--seconds', 'x'], 'x is not above 0'],
    [['--keys', '99'], 'at least 100'],
    [['--value-size', '20000'], 'at most 16000'],
    [['--nodes', '0'], '0 is not above 0'],
    [['--tables', '2', '--against', 'etcd'], 'peers are measured with one table'],
    [['--endpoints', 'etcd'], 'NAME=host:port'],
    [['--endpoints', 'redis=a:1'], 'redis is none of'],
  ])('refuses %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });
});
