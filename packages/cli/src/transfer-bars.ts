import { MultiBar, Presets } from 'cli-progress';
import { formatSize } from './output.js';

/** The progress bar of one table. */
export interface TransferBar {
  /** Shows progress; `part` is a part of 1. */
  update(part: number, bytes: number): void;
  stop(): void;
}

const nothing: TransferBar = { update: () => undefined, stop: () => undefined };

/** Shows a bar on stderr for each table that is under way; nothing when stderr is not a terminal. */
export class TransferBars {
  readonly #bars: MultiBar | undefined;
  /** Ends the bars, which hide the cursor, and then lets the signal end the process as it would have without them. */
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
