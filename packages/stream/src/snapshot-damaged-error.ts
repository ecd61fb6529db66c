/**
 * Reports that a snapshot or backup stream is cut short, malformed, or not what its own hash says. Nothing was installed
 * then. `detail` says what is wrong, for an operator.
 */
export class SnapshotDamagedError extends Error {
  /** For code that decides by it; the text may change. */
  readonly code = 'snapshotDamaged';

  constructor(
    readonly detail: string,
    options?: ErrorOptions,
  ) {
    super(`the snapshot is damaged: ${detail}`, options);
    this.name = new.target.name;
  }
}
