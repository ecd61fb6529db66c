import type { Deed } from './dialog.js';
import type { Route } from './router.js';

/** What every page is given. */
export interface PageProps {
  readonly route: Route;
  /** Asks the operator whether a deed is to be done. */
  readonly ask: (deed: Deed) => void;
}
