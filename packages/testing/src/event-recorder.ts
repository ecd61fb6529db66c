import type { EventFields, EventKind, Log, Severity } from '@coxswain/runtime';

/** An event that was logged, with its fields. */
export interface RecordedEvent {
  readonly event: string;
  readonly severity: Severity;
  readonly [field: string]: unknown;
}

/** Keeps what is logged, for a test to look at. Throws for a field that the kind of an event does not declare. */
export class EventRecorder {
  readonly events: RecordedEvent[] = [];

  readonly log: Log = (kind, fields) => {
    checkDeclared(kind, fields);
    this.events.push({ event: kind.code, severity: kind.severity, ...fields });
  };

  /** The codes of all events. */
  get codes(): string[] {
    return this.events.map(({ event }) => event);
  }

  /** Returns the fields of each event of that kind. */
  of({ code }: EventKind): EventFields[] {
    return this.events.filter(({ event }) => event === code).map(({ event, severity, ...fields }) => fields);
  }

  has(kind: EventKind): boolean {
    return this.codes.includes(kind.code);
  }
}

/** Throws for a field that the kind of an event does not declare: docs/events.md would not have it. */
export function checkDeclared({ code, fields: declared }: EventKind, fields: EventFields = {}): void {
  const undeclared = Object.keys(fields).find((name) => !Object.hasOwn(declared, name));
  if (undeclared !== undefined) throw new RangeError(`the event ${code} declares no field ${undeclared}`);
}
