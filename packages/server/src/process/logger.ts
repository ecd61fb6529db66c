import type { Log, LogLevel } from '@coxswain/node';
import { type DestinationStream, destination, type Logger, pino } from 'pino';

/** The options of a node's log. */
export interface LoggerOptions {
  readonly level: LogLevel;
  /** True writes coloured lines for people instead of JSON. */
  readonly isPretty: boolean;
  readonly nodeId: number;
}

/** A node's log, whose level can be changed while it is in use. */
export interface NodeLog {
  readonly log: Log;
  /** Changes the least level of the lines that are written. */
  setLevel(level: LogLevel): void;
  /** Writes the lines that are still buffered, before the process ends. */
  flush(): void;
}

/** Makes the node's log on stdout: JSON lines by pino. It never has a key or a value of a table. */
export async function createLog({ level, isPretty, nodeId }: LoggerOptions): Promise<NodeLog> {
  // Lines are buffered and written asynchronously: a reader that stops reading must not stop the node.
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

/** Loads the formatter only when it is asked for, since a node in production does not need it. */
async function prettyStream(target: DestinationStream): Promise<DestinationStream> {
  const { PinoPretty } = await import('pino-pretty');
  return PinoPretty({ destination: target });
}
