import type { Log, LogLevel } from '@coxswain/node';
import { destination, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Coloured lines for people instead of JSON. */
  readonly isPretty: boolean;
  readonly nodeId: number;
}

/** The node's log on stdout: JSON lines by pino. Never a key or a value of a table is in it. */
export function createLog({ level, isPretty, nodeId }: LoggerOptions): { log: Log; flush(): void } {
  // Buffered and written asynchronously: a reader that stops reading must not stop the node.
  const target = destination({ dest: 1, sync: false, minLength: 0 });
  const options = { level, base: { node: nodeId }, timestamp: pino.stdTimeFunctions.isoTime };
  const logger: Logger = pino(options, isPretty ? PinoPretty({ destination: target }) : target);
  return {
    log: (lineLevel, message, fields) => logger[lineLevel](fields ?? {}, message),
    flush: () => target.flushSync(),
  };
}
