/** Who waits for each signal. One listener of a signal serves all, since Node.js warns of more than ten. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `callback` when the signal is aborted; never, when it has been aborted already. Returns a function that takes the
 * callback back.
 */
export function whenAborted(signal: AbortSignal, callback: () => void): () => void {
  let callbacks = waiting.get(signal);
  if (callbacks === undefined) {
    const all = new Set<() => void>();
    const call = (): void => {
      for (const each of [...all]) each();
    };
    signal.addEventListener('abort', call, { once: true });
    callbacks = all;
    waiting.set(signal, all);
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}
