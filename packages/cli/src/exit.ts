/** The exit codes that scripts may rely on (docs/compatibility.md, "What scripts may rely on"): done, failed, wrong usage. */
export enum ExitCode {
  Done = 0,
  Failed = 1,
  Usage = 2,
}

/** Ends the command with one line on stderr, which says what to do. */
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

/** The command was called wrongly. */
export function usageError(message: string, options?: ErrorOptions): CommandError {
  return new CommandError(message, ExitCode.Usage, options);
}

/** What was asked for could not be done. */
export function failure(message: string): CommandError {
  return new CommandError(message, ExitCode.Failed);
}
