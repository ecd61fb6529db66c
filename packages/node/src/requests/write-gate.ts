import { errors } from '../api/errors.js';

export interface WriteGateOptions {
  readonly isStopping: () => boolean;
  readonly isDiskFull: () => boolean;
  /** Whether so much waits to be archived that nothing may be added (archive.on-limit). */
  readonly isArchiveBehind: () => boolean;
  /** Throws `cloning` or `cloneFailed` while a clone fills the cluster, or has failed to. */
  readonly checkClone: () => void;
}

/** Says whether this node takes writes now. */
export class WriteGate {
  readonly #options: WriteGateOptions;

  constructor(options: WriteGateOptions) {
    this.#options = options;
  }

  get isStopping(): boolean {
    return this.#options.isStopping();
  }

  /** Throws `shuttingDown`, or `diskFull` (D6), where nothing may be proposed. */
  checkWrite(): void {
    if (this.#options.isStopping()) throw errors.shuttingDown();
    if (this.#options.isDiskFull()) throw errors.diskFull();
  }

  /** Checks a command that the archive would have to take: throws `archiveBehind`, `cloning` and `cloneFailed` too. */
  checkCommand(): void {
    this.checkWrite();
    if (this.#options.isArchiveBehind()) throw errors.archiveBehind();
    this.#options.checkClone();
  }
}
