import type { Environment, Wolf } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import type { Log } from '@coxswain/runtime';
import type { StoresCopy } from '@coxswain/table';
import { checkDeclared } from '@coxswain/testing';
import { SimulatedClock } from './clock.js';
import type { EventLoop } from './event-loop.js';
import type { SimulatedNetwork } from './network.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';
import { SimulatedFiles } from './small-files.js';
import { SimulatedStores, type StoreOptions } from './stores.js';
import { type DiskOptions, SimulatedWalDisk } from './wal-disk.js';

export interface MachineOptions {
  readonly disk: DiskOptions;
  readonly stores: StoreOptions;
  /** The greatest share by which clocks run fast or slow. */
  readonly clockDriftMax: number;
  /** The greatest error of wall clocks, in milliseconds. */
  readonly clockOffsetMsMax: number;
}

/** All disks of a machine at one moment. */
export interface DiskCopy {
  readonly wal: ReadonlyMap<string, Buffer>;
  readonly stores: StoresCopy;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** The parts of a machine that outlive a process: the disks and the clock. */
export class Machine {
  readonly clock: SimulatedClock;
  readonly walDisk: SimulatedWalDisk;
  readonly stores: SimulatedStores;
  readonly files: SimulatedFiles;

  readonly #loop: EventLoop;
  readonly #network: SimulatedNetwork;
  readonly #random: SeededRandom;
  /** The node's name in the trace. */
  readonly #label: string;

  constructor(
    readonly node: NodeId,
    loop: EventLoop,
    network: SimulatedNetwork,
    random: SeededRandom,
    options: MachineOptions,
    label = `node ${node}`,
  ) {
    this.#loop = loop;
    this.#network = network;
    this.#random = random;
    this.#label = label;
    const drift = random.between(-options.clockDriftMax, options.clockDriftMax);
    this.clock = new SimulatedClock(
      loop,
      1 + drift,
      random.between(-options.clockOffsetMsMax, options.clockOffsetMsMax),
    );
    this.walDisk = new SimulatedWalDisk(loop, random.fork('wal'), options.disk);
    this.stores = new SimulatedStores(loop, random.fork('stores'), options.stores);
    this.files = new SimulatedFiles(loop, random.fork('files'));
  }

  /** Returns the environment through which a node in `process` acts on the simulated world. */
  environment(process: SimulatedProcess, fatal: Environment['fatal']): Environment {
    const log: Log = (kind, fields) => {
      checkDeclared(kind, fields);
      const details = fields === undefined ? '' : ` ${JSON.stringify(fields)}`;
      const seconds = (this.#loop.nowUs / 1e6).toFixed(6);
      this.#loop.trace.line(`${seconds} ${this.#label} ${kind.severity}: ${kind.text}${details}`);
    };
    return {
      clock: this.clock.attach(process),
      random: this.#random.fork(`process ${process.id}`),
      transport: this.#network.transport(this.node, process),
      wolfLink: this.#network.wolf.link(this.node, process),
      walDisk: this.walDisk.attach(process),
      stores: this.stores.attach(process),
      files: this.files.attach(process),
      disks: this.files.disks(process),
      log,
      fatal,
    };
  }

  /** Lets the node answer the calls of wolf.raft from now on. */
  serveWolf(process: SimulatedProcess, wolf: Wolf): void {
    this.#network.wolf.serve(this.node, process, wolf);
  }

  /** Handles the death of the process: everything that it had written stays. */
  processDied(): void {
    this.stores.processDied();
  }

  /**
   * Returns the newest start of `member` that took part, as this machine's node keeps it durably. A start that only
   * introduced itself counted for nothing, so nothing is lost without it.
   */
  startOf(member: NodeId): { number: number; position: number } | undefined {
    const content = this.files.copy().get('peers.json');
    if (content === undefined) return undefined;
    const { starts } = JSON.parse(content.toString()) as {
      starts: { member: NodeId; number: number; position: number; tookPart: boolean }[];
    };
    return starts.find((start) => start.member === member && start.tookPart);
  }

  copyDisks(): DiskCopy {
    return { wal: this.walDisk.copy(), stores: this.stores.copy(), files: this.files.copy() };
  }

  /** Puts an earlier state of the disks back. No process may be alive. */
  putBack(copy: DiskCopy): void {
    this.walDisk.putBack(copy.wal);
    this.stores.putBack(copy.stores);
    this.files.putBack(copy.files);
  }

  /** Empties the data directory. No process may be alive. */
  wipe(): void {
    this.putBack({ wal: new Map(), stores: new Map(), files: new Map() });
  }

  /** Simulates a loss of power: data that was not synced may be gone. */
  losePower(): void {
    this.walDisk.losePower();
    this.stores.losePower();
  }
}
