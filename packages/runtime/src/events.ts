/** How much an event matters, from what only a search for a fault needs to what somebody must see to. */
export type Severity = 'debug' | 'info' | 'warn' | 'error';

/** All severities, the least severe first. */
export const severities: readonly Severity[] = ['debug', 'info', 'warn', 'error'];

/**
 * One kind of thing that can happen to a node or a cluster. Each is declared once, in `src/events.ts` of the package in
 * which it happens, and listed in docs/events.md.
 */
export interface EventKind<Field extends string = string> {
  /** Names the kind, in kebab case: `table-leader-lost`. Programs judge by it. Texts may change, codes may not. */
  readonly code: string;
  readonly severity: Severity;
  /** Says in whole words what happened. */
  readonly text: string;
  /** Says what an operator can do about it, where something can be done. */
  readonly advice?: string;
  /** The meaning of each field that an event of this kind may have. No field ever holds a key or a value of a table. */
  readonly fields: { readonly [Name in Field]?: string };
}

/** The details of one event, by the names that its kind declares. */
export type EventFields<Field extends string = string> = { readonly [Name in Field]?: unknown };

/** Reports that something happened. It never throws, and does not wait for the log to be written. */
export type Log = <Field extends string>(
  kind: EventKind<Field>,
  fields?: EventFields<NoInfer<Field>>,
) => void;

interface Declaration<Field extends string> extends Omit<EventKind, 'code' | 'fields'> {
  readonly fields?: readonly Field[];
}
type FieldOf<D> = D extends { readonly fields: readonly (infer Field extends string)[] } ? Field : never;

/**
 * Declares the kinds of events of a package. Each gets the name under which it is declared as its code: `peerUp` becomes
 * `peer-up`. `meanings` says what each field means in the events of the package.
 */
export function declareEvents<
  const Meanings extends Readonly<Record<string, string>>,
  const Declarations extends Readonly<Record<string, Declaration<keyof Meanings & string>>>,
>(
  meanings: Meanings,
  declarations: Declarations,
): { readonly [Name in keyof Declarations]: EventKind<FieldOf<Declarations[Name]>> } {
  const named = Object.entries(declarations).map(([name, { fields = [], ...declaration }]) => [
    name,
    {
      ...declaration,
      code: kebabCase(name),
      fields: Object.fromEntries(fields.map((field) => [field, meanings[field]])),
    },
  ]);
  return Object.fromEntries(named);
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
