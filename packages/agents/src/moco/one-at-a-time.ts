import { errors } from '@coxswain/node';

/** Lets one request in at a time: what they begin goes on after the answer. */
export class OneAtATime {
  readonly #isBusyElsewhere: () => boolean;
  #isTaken = false;

  /** `isBusyElsewhere`: another node has begun what concerns all of the cluster. */
  constructor(isBusyElsewhere: () => boolean) {
    this.#isBusyElsewhere = isBusyElsewhere;
  }

  /** Gives what ends the request; calling it twice is harmless. Throws anotherRequest. */
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
