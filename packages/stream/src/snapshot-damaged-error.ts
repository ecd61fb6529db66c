/**
 * A snapshot or backup stream is cut short, malformed, or does not match its own hash. Nothing was installed. `detail`
 * describes the damage to an operator.
 */
export class SnapshotDamagedError extends Error {
  /** For code that handles this error; the text may change. */
  readonly code = 'snapshotDamaged';

  constructor(
    readonly detail: string,
    options?: ErrorOptions,
  ) {
    super(`the snapshot is damaged: ${detail}`, options);
    this.name = new.target.name;
  }
}
