import type { Calls } from '../calls.js';
import type { History } from '../history.js';
import type { SeededRandom } from '../random.js';
import type { RangeDeletions } from '../range-deletions.js';
import type { KeyDraws } from './key-draws.js';
import type { Server } from './options.js';

/** The state of a key that a client saw last. */
export interface Seen {
  readonly value: string | undefined;
  readonly modRevision: number;
}

/** What the operations of one workload share. */
export interface OperationContext {
  readonly calls: Calls;
  readonly history: History;
  readonly random: SeededRandom;
  readonly draws: KeyDraws;
  /** What clients saw last, by table and key. */
  readonly seen: Map<string, Seen>;
  readonly deletions: RangeDeletions | undefined;
  /** The deadline of a call that is sent to the server now. */
  readonly deadline: (server: Server) => { readonly deadlineMs: number };
}
