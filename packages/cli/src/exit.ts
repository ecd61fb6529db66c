/**
 * The exit codes that scripts may rely on: done, failed, wrong usage (docs/compatibility.md, "What scripts may rely
 * on").
 */
export enum ExitCode {
  Done = 0,
  Failed = 1,
  Usage = 2,
}

/** Ends the command with one line on stderr, which says what to do, and with an exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    message: string,
    readonly exitCode: ExitCode,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Makes the error for a command that was called wrongly. */
export function usageError(message: string, options?: ErrorOptions): CommandError {
  return new CommandError(message, ExitCode.Usage, options);
}

/** Makes the error for a command that could not do what it was asked for. */
export function failure(message: string): CommandError {
  return new CommandError(message, ExitCode.Failed);
}
