import { invariant, isNoSpaceError, WalCorruptError } from './errors.js';
import {
  isSpareName,
  PREPARING_NAME,
  RESERVE_NAME,
  Segment,
  type SegmentTable,
  segmentName,
  segmentNumber,
  spareName,
} from './segment.js';
import type { WalDisk } from './types.js';

/**
 * The most released segments kept for reuse beyond the next segment and the reserve. A reused one needs no zeros
 * written to it first; a load releases about this many at once, with each flush of its table.
 */
const SPARES_MAX = 8;

/**
 * The files of the log. It keeps two ahead of need, so that beginning a new segment never waits for the disk to
 * allocate: the next segment, which has its name already, and the reserve, which is only used when the disk is full.
 */
export class SegmentStore {
  /** The segments that hold the log, including the one being written. */
  readonly segments: SegmentTable = new Map();
  readonly #disk: WalDisk;
  readonly #segmentSizeBytes: number;
  #next: Segment | undefined;
  #hasReserve = false;
  /** True when a crash left a file that was being made and that the log did not know yet. */
  #hasRemains = false;
  #spares: string[] = [];
  #isFull = false;
  #lastNumber = 0;
  /** Settles when the changes of the directory so far are done; they run one after another. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(disk: WalDisk, segmentSizeBytes: number) {
    this.#disk = disk;
    this.#segmentSizeBytes = segmentSizeBytes;
  }

  /** True from a failure to get space until there is space again (D6). */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Opens the segments on the disk. Throws `WalCorruptError` when one is missing in the middle. */
  async load(): Promise<void> {
    const names = await this.#disk.list();
    this.#hasRemains = names.includes(PREPARING_NAME);
    this.#hasReserve = names.includes(RESERVE_NAME);
    this.#spares = names.filter(isSpareName);
    const numbers = names.map(segmentNumber).filter((number) => number !== undefined);
    numbers.sort((a, b) => a - b);
    // The reserve and the spares come after the first segment and never outlive the last one.
    if (numbers.length === 0 && (this.#hasReserve || this.#spares.length > 0)) {
      throw new WalCorruptError('*.wal', 0, 'every segment is missing');
    }
    for (const [i, number] of numbers.entries()) {
      const expected = numbers[0]! + i;
      if (number !== expected) throw new WalCorruptError(segmentName(expected), 0, 'the segment is missing');
    }
    this.#lastNumber = numbers.at(-1) ?? 0;
    for (const number of numbers) {
      this.segments.set(number, new Segment(number, await this.#disk.open(segmentName(number))));
    }
  }

  /** Makes the last segment, which turned out to hold nothing, the next one to write. */
  async putBack(segment: Segment, isDirty: boolean): Promise<void> {
    this.#lastNumber = segment.number - 1;
    if (!isDirty) {
      this.#next = segment;
      return;
    }
    await this.#abandon(segment);
  }

  /** The last segment of the log, if there is any. */
  get last(): Segment | undefined {
    return this.segments.get(this.#lastNumber);
  }

  /** Makes the next segment if it is missing. A full disk shows in `isFull`. */
  prepareNext(): Promise<void> {
    return this.#exclusively(() => this.#unlessFull(() => this.#makeNext()));
  }

  /** Makes the next segment and the reserve if they are missing. A full disk shows in `isFull`. */
  prepare(): Promise<void> {
    return this.#exclusively(() => this.#prepare());
  }

  /** Returns the segment to write next, which becomes the last of the log; undefined when there is no space for one. */
  async take(): Promise<Segment | undefined> {
    // Does not wait for other preparations, such as the reserve.
    if (this.#next === undefined) await this.#exclusively(() => this.#findNext());
    const segment = this.#next;
    if (segment === undefined) return undefined;
    this.#next = undefined;
    this.#lastNumber = segment.number;
    this.segments.set(segment.number, segment);
    return segment;
  }

  /**
   * Gives up the last segment, whose first write failed for lack of space, and removes its file: parts of the failed
   * batch may be in it, and must not be mixed with the batch that will take its place.
   */
  discard(segment: Segment): Promise<void> {
    return this.#exclusively(async () => {
      invariant(segment === this.last, 'only the last segment can be discarded');
      this.segments.delete(segment.number);
      this.#lastNumber--;
      await this.#abandon(segment);
    });
  }

  /** Records that the disk refused space. */
  markFull(): void {
    this.#isFull = true;
  }

  /**
   * Gives the space of the first segment back: no group needs it, and no reader can hold it, since reads copy before
   * they return.
   */
  release(segment: Segment): Promise<void> {
    this.segments.delete(segment.number);
    return this.#exclusively(async () => {
      await segment.file.close();
      const isReusable =
        segment.file.sizeBytes === this.#segmentSizeBytes && this.#spares.length < SPARES_MAX;
      if (!isReusable) {
        await this.#disk.remove(segment.name);
        return;
      }
      await this.#disk.rename(segment.name, spareName(segment.number));
      this.#spares.push(spareName(segment.number));
    });
  }

  close(): Promise<void> {
    return this.#exclusively(async () => {
      for (const segment of this.segments.values()) await segment.file.close();
      await this.#next?.file.close();
    });
  }

  #prepare(): Promise<void> {
    return this.#unlessFull(async () => {
      await this.#makeNext();
      if (!this.#hasReserve) await this.#allocate(RESERVE_NAME);
      this.#hasReserve = true;
      this.#isFull = false;
    });
  }

  /** Makes the next segment, if all else fails from the reserve. */
  async #findNext(): Promise<void> {
    await this.#unlessFull(() => this.#makeNext());
    if (this.#next !== undefined || !this.#hasReserve) return;
    const number = this.#lastNumber + 1;
    await this.#disk.rename(RESERVE_NAME, segmentName(number));
    this.#hasReserve = false;
    this.#next = new Segment(number, await this.#disk.open(segmentName(number)));
  }

  async #makeNext(): Promise<void> {
    // While nothing is durable in the last segment it may still be given up, and only one may be empty at start.
    if (this.#next !== undefined || this.last?.endBytes === 0) return;
    const number = this.#lastNumber + 1;
    await this.#allocate(segmentName(number));
    this.#next = new Segment(number, await this.#disk.open(segmentName(number)));
  }

  async #unlessFull(make: () => Promise<void>): Promise<void> {
    try {
      await make();
    } catch (error) {
      if (!isNoSpaceError(error)) throw error;
      this.#isFull = true;
    }
  }

  /** Removes a segment that never held anything. */
  async #abandon(segment: Segment): Promise<void> {
    await segment.file.close();
    if (this.segments.size === 0 && this.#hasReserve) {
      // A reserve without any segment would look like a log that was lost.
      await this.#disk.remove(RESERVE_NAME);
      this.#hasReserve = false;
    }
    await this.#disk.remove(segment.name);
  }

  async #allocate(name: string): Promise<void> {
    const spare = this.#spares.pop();
    if (spare !== undefined) {
      await this.#disk.rename(spare, name);
      return;
    }
    if (this.#hasRemains) {
      await this.#disk.remove(PREPARING_NAME);
      this.#hasRemains = false;
    }
    const file = await this.#disk.create(PREPARING_NAME, this.#segmentSizeBytes);
    await file.close();
    await this.#disk.rename(PREPARING_NAME, name);
  }

  #exclusively<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#work.then(change);
    // The caller learns of the error of its change; later changes do not.
    this.#work = done.catch(() => undefined);
    return done;
  }
}
