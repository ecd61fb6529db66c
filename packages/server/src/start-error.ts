/**
 * A node that cannot start. The message is one line that says what is wrong and what to do about it; the cause is
 * for those who debug.
 */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** Turns whatever stopped a start into one line. `action` is what was being done: `open the api listener`. */
export function toStartError(action: string, cause: unknown): StartError {
  if (cause instanceof StartError) return cause;
  const error = cause as NodeJS.ErrnoException & { address?: string; port?: number };
  const where = error.path ?? (error.port === undefined ? error.address : `${error.address}:${error.port}`);
  const at = where === undefined ? '' : ` ${where}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new StartError(
        `cannot ${action}:${at} is in use: stop the process that listens there or choose another address`,
        { cause },
      );
    case 'EADDRNOTAVAIL':
      return new StartError(`cannot ${action}:${at} is not an address of this machine`, { cause });
    case 'EACCES':
    case 'EPERM':
      return new StartError(`cannot ${action}: no permission for${at}: check its owner and mode`, { cause });
    case 'EROFS':
      return new StartError(`cannot ${action}:${at} is on a read-only file system`, { cause });
    case 'ENOSPC':
    case 'EDQUOT':
      return new StartError(`cannot ${action}: the disk is full:${at}: make room and start again`, { cause });
    default:
      return new StartError(`cannot ${action}: ${oneLine(cause)}`, { cause });
  }
}

function oneLine(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.replace(/\s*\n\s*/g, ' ');
}
