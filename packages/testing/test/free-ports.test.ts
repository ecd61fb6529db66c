import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { claimPorts, findFreePort, findFreePorts } from '../src/index.js';

const index = new URL('../src/index.js', import.meta.url).href;

/** What a process finds that ends then, and so has let go of them. */
function foundByAnother(count: number, from: number): number[] {
  const find = `findFreePorts(${count}, ${from})`;
  const program = `import(${JSON.stringify(index)}).then(async ({ findFreePorts }) => console.log((await ${find}).join()))`;
  const { stdout } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  return stdout.trim().split(',').map(Number);
}

test('free ports are not those that the system gives to whoever asks for any', async () => {
  let systems = 32_768;
  try {
    systems = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split('\t')[0]);
  } catch {
    // Not on Linux.
  }
  const ports = await findFreePorts(12);
  expect(Math.max(...ports)).toBeLessThan(systems);
  expect(Math.min(...ports)).toBeGreaterThan(1_024);
});

test('free ports are given to one process alone, once, until it ends', async () => {
  const mine = await findFreePorts(5);
  const [first] = mine;
  expect(await findFreePorts(5, first)).not.toContain(first);
  const found = () => foundByAnother(20, first!);
  const others = found();
  expect(others.filter((port) => mine.includes(port))).toEqual([]);
  // It has ended, and what it had is free again.
  expect(found()).toEqual(others);
});

test('a free port is free for UDP as well, on which peers gossip', async () => {
  const port = await findFreePort();
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, resolve);
  });
  await new Promise<void>((resolve) => socket.close(resolve));
});

test('ports that are known are claimed where all of them are free, and once', async () => {
  const server = createServer();
  const [taken, free, another] = foundByAnother(3, await findFreePort());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(taken, '127.0.0.1', resolve);
  });
  expect(await claimPorts([another!, taken!])).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await claimPorts([taken!, free!])).toBe(true);
  expect(await claimPorts([free!])).toBe(false);
  expect(await findFreePorts(3, taken)).not.toContain(free);
});
