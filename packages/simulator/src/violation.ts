/** A property that must always hold was violated: the run ends, and its seed is worth keeping. */
export class Violation extends Error {
  override readonly name = 'Violation';
  constructor(
    /** The violated property in a word or two: `election safety`, `linearizability`, … */
    readonly property: string,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`${property}: ${detail}`, options);
  }
}

/** Throws a violation of `property` unless `condition` holds. */
export function check(condition: boolean, property: string, detail: () => string): asserts condition {
  if (!condition) throw new Violation(property, detail());
}
