import type { GeneratorRequest } from '../process/generator-process.js';

/** A running system that takes load over HTTP/2. */
export interface System {
  readonly name: string;
  /** The version that the system reports; empty when it has none. */
  readonly version: string;
  readonly dialect: GeneratorRequest['dialect'];
  readonly endpoints: readonly string[];
  /** True when answers hold data; false for the ceilings. */
  readonly answersHoldData: boolean;
  /** The system's processes, to which their children belong, too; empty when it was not started here. */
  readonly processIds: readonly number[];
  /**
   * Checks that all processes still run.
   *
   * @throws Error when one of them does not
   */
  assertRunning(): void;
}
