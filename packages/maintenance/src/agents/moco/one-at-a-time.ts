import { errors } from '@coxswain/node';

/** Lets one request in at a time: what they begin goes on after the answer. */
export class OneAtATime {
  #isTaken = false;

  /** Gives what ends the request; calling it twice is harmless. Throws anotherRequest. */
  take(): () => void {
    if (this.#isTaken) throw errors.anotherRequest();
    this.#isTaken = true;
    let isHeld = true;
    return () => {
      if (isHeld) this.#isTaken = false;
      isHeld = false;
    };
  }
}
