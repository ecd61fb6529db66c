import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeClient } from '../../bench/dist/src/faults/node-client.js';
import { eventually, findFreePorts } from '../../packages/testing/dist/src/index.js';

const CALL_TIMEOUT_MS = 5_000;

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A cluster of one stock node (Regatta or Armada): a process that may be killed and started again on its data. */
export class StockProcess {
  #child;

  constructor(peer, role, ports, directory, flags) {
    const [api, replication, rest, raft, gossip] = ports.map((port) => `127.0.0.1:${port}`);
    this.peer = peer;
    this.role = role;
    this.address = api;
    this.replicationAddress = replication;
    this.directory = directory;
    this.client = NodeClient.to(api, '');
    this.flags = {
      'api.address': `http://${api}`,
      'api.advertise-address': `http://${api}`,
      'rest.address': `http://${rest}`,
      'raft.address': raft,
      'raft.node-host-dir': join(directory, 'raft'),
      'raft.state-machine-dir': join(directory, 'state'),
      'memberlist.advertise-address': gossip,
      // Armada knows its id by its place in the list, and gossips on the raft port.
      ...(peer.name === 'Armada'
        ? { 'raft.initial-members': raft }
        : { 'raft.initial-members': `1=${raft}`, 'memberlist.address': gossip }),
      ...(role === 'leader' ? { 'replication.address': `http://${replication}` } : {}),
      ...flags,
    };
  }

  /** Resolves when its API answers. */
  static async start(peer, role, flags) {
    const directory = mkdtempSync(join(tmpdir(), 'coxswain-peer-'));
    const stock = new StockProcess(peer, role, await findFreePorts(5), directory, flags);
    try {
      await stock.restart();
      return stock;
    } catch (error) {
      await stock.dispose();
      throw error;
    }
  }

  /** Starts the process on the data that it left. */
  async restart() {
    mkdirSync(this.directory, { recursive: true });
    const output = openSync(join(this.directory, 'output.log'), 'a');
    const args = [this.role, ...Object.entries(this.flags).map(([name, value]) => `--${name}=${value}`)];
    const child = spawn(this.peer.path, args, { cwd: this.directory, stdio: ['ignore', output, output] });
    closeSync(output);
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
    await eventually(`${this.peer.name} answers`, () => {
      return child.exitCode !== null || this.client.status(CALL_TIMEOUT_MS);
    });
    if (child.exitCode !== null) throw new Error(`${this.peer.name} has ended:\n${this.outputTail()}`);
  }

  /** SIGKILL, without a word before. Resolves when the process has ended. */
  async kill() {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** The end of what it printed. */
  outputTail() {
    return readFileSync(join(this.directory, 'output.log'), 'utf8').slice(-2_000);
  }

  /** Kills it and removes its data. */
  async dispose() {
    this.client.close();
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
