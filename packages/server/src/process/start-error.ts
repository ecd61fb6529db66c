/**
 * The reason why a node cannot start. The message is one line that says what is wrong and how to correct it; the cause
 * is for debugging.
 */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * Makes a StartError with a message of one line from an error that stopped a start. `action` is the step that failed:
 * `open the api listener`.
 */
export function toStartError(action: string, cause: unknown): StartError {
  if (cause instanceof StartError) return cause;
  const { code, where } = systemError(cause);
  const at = where === undefined ? '' : ` ${where}`;
  switch (code) {
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
    case 'EEXIST':
    case 'ENOTDIR':
      return new StartError(`cannot ${action}:${at} is a file, or lies in one: name a directory`, { cause });
    case 'ENOSPC':
    case 'EDQUOT':
      return new StartError(
        `cannot ${action}: the disk is full:${at && `${at}:`} make room and start again`,
        {
          cause,
        },
      );
    default:
      return new StartError(`cannot ${action}: ${oneLine(cause)}`, { cause });
  }
}

/** Returns the system's error code, and the path or address that it is about. */
function systemError(cause: unknown): { code: string | undefined; where: string | undefined } {
  const {
    code,
    path,
    address,
    port,
    message = '',
  } = cause as Partial<NodeJS.ErrnoException> & {
    address?: string;
    port?: number;
  };
  if (path !== undefined) return { code, where: path };
  if (address !== undefined) return { code, where: port === undefined ? address : `${address}:${port}` };
  // grpc-js reports the system's errors in words only.
  const words = /\b(E[A-Z]{4,}): [^:\]]*?(\S+:\d+)?\]?$/.exec(message);
  return { code: code ?? words?.[1], where: words?.[2] };
}

function oneLine(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.replace(/\s*\n\s*/g, ' ');
}
