import { MultiBar, Presets } from 'cli-progress';
import { formatSize } from './output.js';

/** How far a table is. */
export interface TransferBar {
  /** `part`: of 1. */
  update(part: number, bytes: number): void;
  stop(): void;
}

const nothing: TransferBar = { update: () => undefined, stop: () => undefined };

/** A bar per table on stderr, when that is a terminal; else nothing. */
export class TransferBars {
  readonly #bars: MultiBar | undefined;

  constructor() {
    if (!process.stderr.isTTY) return;
    const format = '{verb} {table} {bar} {percentage}% | {size} | {duration_formatted}';
    this.#bars = new MultiBar(
      { format, stream: process.stderr, hideCursor: true, clearOnComplete: false },
      Presets.shades_classic,
    );
  }

  add(verb: string, table: string): TransferBar {
    const bar = this.#bars?.create(1, 0, { verb, table, size: '' });
    if (bar === undefined) return nothing;
    return {
      update: (part, bytes) => bar.update(Math.min(part, 1), { size: formatSize(bytes) }),
      stop: () => bar.stop(),
    };
  }

  stop(): void {
    this.#bars?.stop();
  }
}
