import { errors } from '@coxswain/node';

/** Lets one request in at a time. A request holds its turn until the background work that it started has ended. */
export class OneAtATime {
  readonly #isBusyElsewhere: () => boolean;
  #isTaken = false;

  /** `isBusyElsewhere` returns true while the cluster runs an operation, on whichever node, that excludes this one. */
  constructor(isBusyElsewhere: () => boolean) {
    this.#isBusyElsewhere = isBusyElsewhere;
  }

  /**
   * Takes the turn and returns a function that gives it back; calling that function twice is harmless. Throws
   * anotherRequest when the turn is taken, or while `isBusyElsewhere` returns true.
   */
  take(): () => void {
    if (this.#isTaken || this.#isBusyElsewhere()) throw errors.anotherRequest();
    this.#isTaken = true;
    let isHeld = true;
    return () => {
      if (isHeld) this.#isTaken = false;
      isHeld = false;
    };
  }
}
