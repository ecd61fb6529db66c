import { type Wal, WalFullError } from '@coxswain/wal';
import type { Environment } from '../api/environment.js';
import type { NodeOptions } from '../api/options.js';
import { nodeEvents } from '../events.js';
import { type DiskRoom, type DiskShortage, roomWanted, shortageOf } from './disk-room.js';

const RETRY_MS = 1000;
/** The factor by which the room must exceed the one below which writes are refused, for writes to be taken again. */
const HYSTERESIS = 1.5;
/** A disk is nearly full when it has less than this many times the room below which writes are refused: 1 GiB by default. */
const LITTLE = 32;
/** The bytes that the reserve leaves of a full disk, since small files still change. */
const LEFT_BYTES = 1024 * 1024;

/**
 * Watches the room on the disks that hold a node's data (D6). A disk counts as full from the moment at which it has
 * less room than the node wants, or refuses a write, until there is room with some to spare, for which the watch looks
 * once a second. A reserve is held back on each disk, so that a node can be started on a full one: opening node.json
 * and LevelDB takes some room.
 */
export class DiskWatch {
  readonly #environment: Pick<Environment, 'clock' | 'disks' | 'log'>;
  readonly #options: NodeOptions;
  readonly #wal: Wal;
  readonly #onFull: () => void;
  readonly #onRoom: () => Promise<void>;
  readonly #settled: (withinMs: number) => Promise<boolean>;
  readonly #isStopping: () => boolean;
  readonly #run: (work: Promise<unknown>) => void;
  #isFull = false;
  #shortage: DiskShortage | undefined;
  #isHolding = false;
  #hasLittle = false;

  constructor(options: {
    environment: Pick<Environment, 'clock' | 'disks' | 'log'>;
    options: NodeOptions;
    wal: Wal;
    /** Called when a disk is found to be full. */
    onFull: () => void;
    /** Called when there is room again; writes are taken once it resolves. */
    onRoom: () => Promise<void>;
    /** Resolves to whether everything that waits in the log is written within that time, in milliseconds. */
    settled: (withinMs: number) => Promise<boolean>;
    isStopping: () => boolean;
    run: (work: Promise<unknown>) => void;
  }) {
    this.#environment = options.environment;
    this.#options = options.options;
    this.#wal = options.wal;
    this.#onFull = options.onFull;
    this.#onRoom = options.onRoom;
    this.#settled = options.settled;
    this.#isStopping = options.isStopping;
    this.#run = options.run;
  }

  /**
   * Prepares a start on a full disk: releases the reserve for the opening of the data, but only after the log has taken
   * the space that it can get, since it would take the reserve as well.
   */
  static async prepareStart(environment: Environment, options: NodeOptions, wal: Wal): Promise<void> {
    const rooms = await environment.disks.room();
    if (shortageOf(rooms, roomWanted(options, wal.isFull)) === undefined) return;
    await reopen(wal);
    await environment.disks.releaseReserve();
  }

  /** Whether a disk is full, so that writes are refused. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** The disk that lacks room; undefined when none does, or while that is not known. */
  get shortage(): DiskShortage | undefined {
    return this.#isFull ? this.#shortage : undefined;
  }

  /** Called when a write was refused, or the log is full: refuses writes from now on. */
  enter(): void {
    if (this.#isFull || this.#isStopping()) return;
    this.#isFull = true;
    this.#onFull();
    this.#run(this.#report());
    this.#retry();
  }

  /**
   * Looks whether there is enough room, and holds the reserve if there is plenty. If there is not, runs `beforeFull`
   * and then refuses writes.
   */
  async check(beforeFull?: () => Promise<void>): Promise<void> {
    if (this.#isFull || this.#isStopping()) return;
    const rooms = await this.#environment.disks.room();
    const shortage = this.#shortageIn(rooms, 1);
    if (shortage !== undefined) {
      this.#shortage = shortage;
      await beforeFull?.();
      this.enter();
    } else {
      this.#warnOfLittle(rooms);
      // Runs in the background: at a node's first start it takes a while.
      this.#run(this.#hold(HYSTERESIS * this.#wanted(false).tables));
    }
  }

  /** Takes the rest of a full disk into the reserve, for the next start. */
  async holdWhatIsLeft(): Promise<void> {
    if (this.#isFull) await this.#hold(LEFT_BYTES);
  }

  #wanted(isLogFull: boolean) {
    return roomWanted(this.#options, isLogFull);
  }

  async #look(factor: number, isLogFull = this.#wal.isFull): Promise<DiskShortage | undefined> {
    return this.#shortageIn(await this.#environment.disks.room(), factor, isLogFull);
  }

  #shortageIn(
    rooms: readonly DiskRoom[],
    factor: number,
    isLogFull = this.#wal.isFull,
  ): DiskShortage | undefined {
    const { files, log, tables } = this.#wanted(isLogFull);
    return shortageOf(rooms, { files: files * factor, log: log * factor, tables: tables * factor });
  }

  /** Warns once of a disk that is nearly full, and again only after there was room to spare. */
  #warnOfLittle(rooms: readonly DiskRoom[]): void {
    const little = this.#shortageIn(rooms, LITTLE);
    if (little !== undefined && !this.#hasLittle) {
      this.#hasLittle = true;
      const wantedBytes = little.wantedBytes / LITTLE;
      this.#environment.log(nodeEvents.diskNearlyFull, { ...little, wantedBytes });
    }
    if (this.#shortageIn(rooms, LITTLE * HYSTERESIS) === undefined) this.#hasLittle = false;
  }

  /** Holds the reserve, one call at a time: allocating takes a while on a slow disk. */
  async #hold(leftBytes: number): Promise<void> {
    if (this.#isHolding) return;
    this.#isHolding = true;
    try {
      await this.#environment.disks.holdReserve(leftBytes);
    } finally {
      this.#isHolding = false;
    }
  }

  async #report(): Promise<void> {
    // The disk that refused a write may have room again.
    this.#shortage = (await this.#look(1)) ?? this.#shortage ?? (await this.#look(HYSTERESIS));
    this.#environment.log(nodeEvents.diskFull, {
      ...this.#shortage,
    });
  }

  #retry(): void {
    this.#environment.clock.startTimer(RETRY_MS, () => {
      if (this.#isStopping()) return;
      this.#run(this.#leave());
    });
  }

  async #leave(): Promise<void> {
    // First the look that costs nothing: the log would take room that the tables want.
    const shortage = await this.#look(HYSTERESIS, false);
    if (shortage !== undefined) {
      this.#shortage = shortage;
      await this.holdWhatIsLeft();
      this.#retry();
      return;
    }
    // The disk may fill up again before the log has written what waits in it.
    const hasRoom =
      (await reopen(this.#wal)) && !(await this.#look(HYSTERESIS)) && (await this.#settled(RETRY_MS));
    if (!hasRoom) {
      this.#shortage = (await this.#look(HYSTERESIS)) ?? this.#shortage;
      this.#retry();
      return;
    }
    this.#isFull = false;
    await this.#onRoom();
    this.#environment.log(nodeEvents.diskHasRoom);
  }
}

/** Reopens the log. Resolves to whether it got all the space that it keeps ahead of need. */
async function reopen(wal: Wal): Promise<boolean> {
  try {
    await wal.reopen();
    return true;
  } catch (error) {
    if (!(error instanceof WalFullError)) throw error;
    return false;
  }
}
