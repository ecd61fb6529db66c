import { type Severity, severities, textOfEvent } from '@coxswain/runtime';
import { destination, type Logger, pino } from 'pino';
import type { Event } from './event-journal.js';

/** The options of a node's log. */
export interface LoggerOptions {
  /** The least severe events that are written. */
  readonly level: Severity;
  /** `auto`: text where stdout is a terminal, else JSON. */
  readonly format: 'auto' | 'json' | 'text';
  readonly nodeId: number;
}

/** A node's log, whose level can be changed while it is in use. */
export interface NodeLog {
  /** Writes the event, where it is severe enough. */
  write(event: Event): void;
  /** Changes the least severity of the events that are written. */
  setLevel(level: Severity): void;
  /** Writes the lines that are still buffered, before the process ends. */
  flush(): void;
}

/** Makes the node's log on stdout: one JSON object in each line by pino, or text for people. */
export function createLog({ level, format, nodeId }: LoggerOptions): NodeLog {
  // Lines are buffered and written asynchronously: a reader that stops reading must not stop the node.
  const target = destination({ dest: 1, sync: false, minLength: 0 });
  const isText = format === 'text' || (format === 'auto' && process.stdout.isTTY);
  const line = { nodeId, isColoured: process.stdout.isTTY && !process.env['NO_COLOR'] };
  const logger: Logger = pino(
    {
      level,
      base: { node: nodeId },
      timestamp: false,
      formatters: { level: (label) => ({ level: label }) },
    },
    target,
  );
  let levelIndex = severities.indexOf(level);
  return {
    write: (event) => {
      const { severity } = event.kind;
      if (severities.indexOf(severity) < levelIndex) return;
      const { atMs, kind, fields } = event;
      const time = new Date(atMs).toISOString();
      if (isText) {
        target.write(textOfEvent({ time, kind, fields }, line));
        return;
      }
      const { code, text, advice } = kind;
      logger[severity]({ time, event: code, ...fields, ...(advice && { advice }) }, text);
    },
    setLevel: (next) => {
      levelIndex = severities.indexOf(next);
      logger.level = next;
    },
    flush: () => target.flushSync(),
  };
}
