import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { freePorts, run, TemporaryDirectory } from './support/command.js';

const coxswainFile = fileURLToPath(new URL('../../bin/coxswain.cjs', import.meta.url));

test('a table for which there are too few descriptors is refused, and the node serves and starts again', async () => {
  const directory = new TemporaryDirectory();
  const [api, rest, raft] = await freePorts(3);
  const args = [
    `leader --config= --data-dir=${directory.path}/data --replication.enabled=false --raft.wal-segment-size=16MiB`,
    `--api.address=http://127.0.0.1:${api} --rest.address=http://127.0.0.1:${rest} --raft.address=127.0.0.1:${raft}`,
  ];
  const start = async () => {
    const child = spawn('sh', [
      '-c',
      `ulimit -n 192; exec ${process.execPath} ${coxswainFile} ${args.join(' ')}`,
    ]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    let output = '';
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString();
    });
    while (!output.includes('the node has started') && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 10));
    return {
      stop: () => {
        child.kill();
        return ended;
      },
    };
  };
  const endpoint = `--endpoints=127.0.0.1:${api}`;
  let node = await start();
  try {
    let refusal = '';
    for (let table = 1; refusal === '' && table < 40; table++)
      refusal = (await run(['tables', 'create', `t${table}`, endpoint])).stderr;
    expect(refusal).toMatch(/this node has \d+ of 192 descriptors in use.*raise ulimit -n \(LimitNOFILE/);
    await node.stop();
    node = await start();
    expect((await run(['put', 'key', 'value', '--table=t1', endpoint])).exitCode).toBe(0);
  } finally {
    await node.stop();
    directory.remove();
  }
});
