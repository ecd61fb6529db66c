import type { Log, LogLevel } from '@coxswain/node';
import { type DestinationStream, destination, type Logger, pino } from 'pino';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Coloured lines for people instead of JSON. */
  readonly isPretty: boolean;
  readonly nodeId: number;
}

export interface NodeLog {
  readonly log: Log;
  /** From now on lines of this level and above are written. */
  setLevel(level: LogLevel): void;
  /** Writes the lines that are still buffered, before the process ends. */
  flush(): void;
}

/** The node's log on stdout: JSON lines by pino. Never a key or a value of a table is in it. */
export async function createLog({ level, isPretty, nodeId }: LoggerOptions): Promise<NodeLog> {
  // Buffered and written asynchronously: a reader that stops reading must not stop the node.
  const target = destination({ dest: 1, sync: false, minLength: 0 });
  const options = { level, base: { node: nodeId }, timestamp: pino.stdTimeFunctions.isoTime };
  const logger: Logger = pino(options, isPretty ? await prettyStream(target) : target);
  return {
    log: (lineLevel, message, fields) => logger[lineLevel](fields ?? {}, message),
    setLevel: (next) => {
      logger.level = next;
    },
    flush: () => target.flushSync(),
  };
}

/** Loaded only for those who look at it: a node in production does without. */
async function prettyStream(target: DestinationStream): Promise<DestinationStream> {
  const { PinoPretty } = await import('pino-pretty');
  return PinoPretty({ destination: target });
}
