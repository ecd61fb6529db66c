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

type Declaration = Omit<EventKind, 'code' | 'fields'> & {
  readonly fields?: Readonly<Record<string, string>>;
};
type FieldOf<D extends Declaration> = D extends { readonly fields: infer Fields }
  ? keyof Fields & string
  : never;

/** Gives each kind of event of a package the name under which it is declared as its code: `peerUp` becomes `peer-up`. */
export function declareEvents<const Declarations extends Readonly<Record<string, Declaration>>>(
  declarations: Declarations,
): { readonly [Name in keyof Declarations]: EventKind<FieldOf<Declarations[Name]>> } {
  const named = Object.entries(declarations).map(([name, declaration]) => [
    name,
    { fields: {}, ...declaration, code: kebabCase(name) },
  ]);
  return Object.fromEntries(named);
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
