import { describe, expect, test } from '@jest/globals';
import { loadConfig } from '../src/config/config.js';
import { toNodeOptions, wolfOptions } from '../src/config/node-options.js';
import { StartError } from '../src/process/start-error.js';

function load(flags: Record<string, string>) {
  return loadConfig({ flags, environment: {}, configFile: '', readFile: () => undefined }).config;
}

describe('the options of a node', () => {
  test.each([
    [
      'an election timeout as short as the heartbeat interval',
      { 'raft.election-rtt': '5', 'raft.heartbeat-rtt': '5' },
      'raft.election-rtt must be greater than raft.heartbeat-rtt, best ten times and more',
    ],
    [
      'a list of members without the node itself',
      { 'raft.node-id': '3', 'raft.address': 'c:5012', 'raft.initial-members': '1=a:5012,2=b:5012' },
      'raft.initial-members does not list this node: add 3=c:5012',
    ],
  ])('refuse %s', (_what, flags, text) => {
    const refused = () => toNodeOptions(load(flags));
    expect(refused).toThrow(StartError);
    expect(refused).toThrow(text);
  });

  test('take an election timeout above the heartbeat interval, and make a node without members its own cluster', () => {
    const options = toNodeOptions(load({ 'raft.election-rtt': '6', 'raft.heartbeat-rtt': '5' }));
    expect(options).toMatchObject({ electionTicks: 6, heartbeatTicks: 5 });
    expect([...options.initialMembers]).toEqual([[1, '127.0.0.1:5012']]);
  });
});

describe('the options of a table over wolf.raft', () => {
  const complete = { 'wolf.table': 't', 'wolf.address': '127.0.0.1:7000' };

  test.each([
    ['members without a table', { 'wolf.members': '0=127.0.0.1:7000' }, 'wolf.members needs wolf.table'],
    ['a table without an address', { 'wolf.table': 't' }, 'wolf.table needs wolf.address'],
    ['a name that no table may have', { ...complete, 'wolf.table': 'a\nb' }, 'wolf.table must be '],
    [
      'members without the node itself',
      { ...complete, 'wolf.members': '0=127.0.0.1:7001' },
      'wolf.members must list 127.0.0.1:7000',
    ],
  ])('refuse %s', (_what, flags, text) => {
    const refused = () => wolfOptions(load(flags));
    expect(refused).toThrow(StartError);
    expect(refused).toThrow(text);
  });

  test('are none by default, and a table alone has one member', () => {
    expect(wolfOptions(load({}))).toBeUndefined();
    expect(wolfOptions(load(complete))).toEqual({
      table: 't',
      id: 0,
      members: new Map([[0, '127.0.0.1:7000']]),
    });
  });
});
