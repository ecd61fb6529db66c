import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { findFreePorts, isPortFree } from '../src/index.js';

const index = new URL('../src/index.js', import.meta.url).href;

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

test('free ports are given once, and to one worker of Jest alone', async () => {
  const asked = `import(${JSON.stringify(index)}).then(async ({ findFreePorts }) => console.log(JSON.stringify(await findFreePorts(500))))`;
  const ofWorker = (id: string): number[] => {
    const env = { ...process.env, JEST_WORKER_ID: id };
    return JSON.parse(
      spawnSync(process.execPath, ['-e', asked], { env, encoding: 'utf8' }).stdout,
    ) as number[];
  };
  const all = [...ofWorker('1'), ...ofWorker('2')];
  expect(new Set(all).size).toBe(1_000);
  const [first] = await findFreePorts(1);
  expect(await findFreePorts(10)).not.toContain(first);
});

test('a port that is listened on is not free', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  expect(await isPortFree(port)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  expect(await isPortFree(port)).toBe(true);
});
