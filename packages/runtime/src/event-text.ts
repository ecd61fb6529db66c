import type { EventFields, EventKind, Severity } from './events.js';

const RED = 31;
const YELLOW = 33;
const GREY = 90;
const CYAN = 36;

const colours: Readonly<Record<Severity, number>> = { debug: GREY, info: CYAN, warn: YELLOW, error: RED };

/** An event that is shown to people. */
export interface ShownEvent {
  /** When it happened, as RFC 3339 has it. */
  readonly time: string;
  readonly kind: Omit<EventKind, 'fields'>;
  readonly fields: EventFields;
}

/**
 * Writes an event for people, in one line: when, how severe, on which node, what happened with its fields, and its code. A line
 * below says what to do about it, where `kind` says so. Strangers choose some fields: what they contain can neither end the
 * line nor steer the terminal.
 */
export function textOfEvent(
  { time, kind, fields }: ShownEvent,
  { nodeId, isColoured }: { readonly nodeId: number; readonly isColoured: boolean },
): string {
  const coloured = (text: string, colour: number) =>
    isColoured ? `\u001b[${colour}m${text}\u001b[0m` : text;
  const details = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${coloured(`${name}=`, GREY)}${textOfValue(value)}`);
  const line = [
    coloured(time, GREY),
    coloured(kind.severity.toUpperCase().padEnd(5), colours[kind.severity]),
    `node ${nodeId}: ${kind.text}${details.join('')}`,
    coloured(`[${kind.code}]`, GREY),
  ].join(' ');
  return kind.advice === undefined ? `${line}\n` : `${line}\n    ${kind.advice}\n`;
}

function textOfValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const isPlain = /^[\p{L}\p{N}\p{P}\p{S}]+$/u.test(text) && !/^["']|[=]/.test(text);
  if (typeof value !== 'string' || isPlain) return withoutControls(text);
  return withoutControls(JSON.stringify(value));
}

/** JSON escapes those below the space, but not the others. */
function withoutControls(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    return `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`;
  });
}
