import type { GeneratorRequest } from '../process/generator-process.js';

/** Something that takes load over HTTP/2 and is running. */
export interface System {
  readonly name: string;
  /** As it says itself; empty where it has none. */
  readonly version: string;
  readonly dialect: GeneratorRequest['dialect'];
  readonly endpoints: readonly string[];
  /** False for the ceilings, which answer something else than data. */
  readonly answersHoldData: boolean;
  /** Its processes, whose children are its too; empty where it was not started here. */
  readonly processIds: readonly number[];
  /** @throws Error when one of its processes is no longer there. */
  assertRunning(): void;
}
