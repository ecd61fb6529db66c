import { mvcc } from '@coxswain/protocol';
import type { ReceivedCommand } from './replicate-message.js';

/** The leader cluster sends a command that this version cannot apply. Waiting does not help; a newer version does. */
export class CommandNotUnderstoodError extends Error {
  override readonly name = 'CommandNotUnderstoodError';
  /** Names the release that can apply it, for operators. */
  readonly remedy: string;

  constructor(
    message: string,
    { neededFor, ...options }: ErrorOptions & { neededFor?: number | undefined } = {},
  ) {
    super(message, options);
    this.remedy =
      neededFor === undefined
        ? 'a newer release of Coxswain'
        : `a release of Coxswain whose changelog says that it knows type ${neededFor}`;
  }
}

const { PUT, DELETE, DUMMY, PUT_BATCH, DELETE_BATCH, TXN, SEQUENCE, GC } = mvcc.Command_CommandType;

/**
 * Checks that a command can be applied, before it is proposed: once it is in the log, a table could only stop at it
 * (A3, A8). Throws CommandNotUnderstoodError.
 */
export function checkReceived({ command, leaderIndex }: ReceivedCommand): void {
  let decoded: mvcc.Command;
  try {
    decoded = mvcc.Command.decode(command);
  } catch (error) {
    throw new CommandNotUnderstoodError(`entry ${leaderIndex} of the leader cluster cannot be decoded`, {
      cause: error,
    });
  }
  const reason = whyNotUnderstood(decoded);
  if (reason !== undefined) {
    throw new CommandNotUnderstoodError(`entry ${leaderIndex} of the leader cluster is ${reason}`, {
      neededFor: unknownTypeIn(decoded),
    });
  }
}

/** Returns the first command type that no table here can apply; undefined: all are known. */
function unknownTypeIn(command: mvcc.Command): number | undefined {
  if (command.type > GC || command.type < 0) return command.type;
  for (const inner of command.sequence) {
    const unknown = unknownTypeIn(inner);
    if (unknown !== undefined) return unknown;
  }
  return undefined;
}

/** Describes a command that no table can apply (A8); undefined: it can be applied. */
export function whyNotUnderstood(command: mvcc.Command): string | undefined {
  switch (command.type) {
    case PUT:
    case DELETE:
      return command.kv === undefined ? 'a write without a key' : undefined;
    case DUMMY:
    case GC:
    case PUT_BATCH:
    case DELETE_BATCH:
      return undefined;
    case TXN: {
      const isKnown = ({ result, target }: mvcc.Compare) =>
        result >= 0 && result <= 3 && target >= 0 && target <= 3;
      return command.txn?.compare.every(isKnown) === false
        ? 'a transaction with an unknown compare'
        : undefined;
    }
    case SEQUENCE:
      for (const inner of command.sequence) {
        const reason = inner.type === SEQUENCE ? 'a sequence in a sequence' : whyNotUnderstood(inner);
        if (reason !== undefined) return reason;
      }
      return undefined;
    default:
      return `of type ${command.type as number}, which this release does not know (it knows types 0 to ${GC})`;
  }
}
