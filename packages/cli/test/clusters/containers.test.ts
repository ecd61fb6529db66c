import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Coxswain } from '@coxswain/client';
import { eventually, LoopbackAddresses, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { Command } from '../support/command.js';

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly command?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
}

const root = fileURLToPath(new URL('../../../../..', import.meta.url));
const text = (path: string): string => readFileSync(join(root, path), 'utf8');
const { services } = parse(text('docker-compose.yml'), { merge: true }) as {
  services: Readonly<Record<string, Service>>;
};
const nodes = Object.entries(services).filter(([, { build }]) => build !== undefined);
const CONTAINER_PORTS = [8443, 8444, 5012, 8079];

/** What each address that is published on the host leads to. */
const published = new Map(
  nodes.flatMap(([name, { ports = [] }]) =>
    ports.map((entry) => {
      const [, address, port] = /^(127[.]0[.]0[.]1:\d+):(\d+)$/.exec(entry)!;
      return [address!, `${name}:${port}`] as const;
    }),
  ),
);

// What containers are isolated from each other by is not there: each node has the directory, the environment and the
// configuration of its container, and addresses of its own on loopback.
describe('the clusters of docker-compose.yml', () => {
  const directory = new TemporaryDirectory();
  const commands: Command[] = [];
  let addresses: LoopbackAddresses;

  beforeAll(async () => {
    addresses = await LoopbackAddresses.find(
      nodes.map(([name]) => name),
      CONTAINER_PORTS,
    );
    for (const [name, { command, environment }] of nodes) {
      const local = (value: string): string => addresses.replace(value, name, published);
      // As the working directory of the image, with the file that the Dockerfile puts there.
      const cwd = join(directory.path, name);
      mkdirSync(cwd);
      writeFileSync(join(cwd, 'config.yaml'), local(text('deploy/container/config.yaml')));
      const variables = Object.entries(environment ?? {}).map(([key, value]) => [key, local(value)]);
      const env = { ...Object.fromEntries(variables), COXSWAIN_DATA_DIR: join(cwd, 'data'), HOME: cwd };
      commands.push(new Command(local(command!).split(' '), { cwd, env }));
    }
  });

  afterAll(async () => {
    await Promise.all(commands.map((command) => command.stop()));
    directory.remove();
  });

  test('form, and become ready as the healthcheck of the image asks for it', async () => {
    const [, url] = /fetch\('(http:[^']+)'\)/.exec(text('Dockerfile'))!;
    for (const [name] of nodes) {
      // The healthcheck runs in the container, whose loopback address is among those that the node listens at.
      const address = addresses.replace(url!.replace('127.0.0.1', '0.0.0.0'), name);
      await eventually(`${name} is ready`, async () => (await fetch(address)).ok);
    }
  });

  test('take a write at each address of the leader cluster that is published, which the follower cluster serves', async () => {
    const endpoint = (host: string): string => addresses.of(host, 8443);
    const client = await Coxswain.connect({ endpoints: [endpoint('coxswain-1')], timeoutMs: 300_000 });
    const members = await client.cluster.memberList();
    const advertised = members.members.flatMap(({ clientURLs }) => clientURLs);
    const leaders = nodes.map(([name]) => name).filter((name) => name !== 'follower');
    expect(advertised.sort()).toEqual(leaders.map((name) => `http://${endpoint(name)}`).sort());
    await client.close();
    for (const name of leaders) {
      const each = await Coxswain.connect({ endpoints: [endpoint(name)], timeoutMs: 300_000 });
      await each.put('default', name, 'value');
      await each.close();
    }
    const follower = await Coxswain.connect({ endpoints: [endpoint('follower')], timeoutMs: 300_000 });
    for (const name of leaders) {
      await eventually(`${name} is replicated`, async () => {
        return (await follower.get('default', name))?.value.toString() === 'value';
      });
    }
    await follower.close();
  });
});

test('what docker-compose.yml mounts exists', () => {
  for (const { volumes = [] } of Object.values(services) as { volumes?: readonly string[] }[]) {
    const files = volumes.map((volume) => volume.split(':')[0]!).filter((source) => source.startsWith('.'));
    expect(files.filter((source) => !existsSync(join(root, source)))).toEqual([]);
  }
});
