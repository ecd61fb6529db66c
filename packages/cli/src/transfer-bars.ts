import { MultiBar, Presets } from 'cli-progress';
import { formatSize } from './output.js';

/** How far a table is. */
export interface TransferBar {
  /** `part`: of 1. */
  update(part: number, bytes: number): void;
  stop(): void;
}

const nothing: TransferBar = { update: () => undefined, stop: () => undefined };

/** A bar per table that is under way, on stderr, when that is a terminal; else nothing. */
export class TransferBars {
  readonly #bars: MultiBar | undefined;
  /** The bars hide the cursor, so they end first; then the signal ends the process as it would have. */
  readonly #showCursor = (signal: NodeJS.Signals): void => {
    this.stop();
    process.kill(process.pid, signal);
  };

  constructor() {
    if (!process.stderr.isTTY) return;
    const format = '{verb} {table} {bar} {percentage}% | {size} | {duration_formatted}';
    this.#bars = new MultiBar(
      { format, stream: process.stderr, hideCursor: true, clearOnComplete: true },
      Presets.shades_classic,
    );
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, this.#showCursor);
  }

  add(verb: string, table: string): TransferBar {
    const bars = this.#bars;
    if (bars === undefined) return nothing;
    const bar = bars.create(1, 0, { verb, table, size: '' });
    return {
      update: (part, bytes) => bar.update(Math.min(part, 1), { size: formatSize(bytes) }),
      stop: () => {
        bars.remove(bar);
      },
    };
  }

  stop(): void {
    this.#bars?.stop();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#showCursor);
  }
}
