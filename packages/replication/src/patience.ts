import { Status } from '@coxswain/node';
import type { Clock } from '@coxswain/runtime';
import { LinkError } from './leader-link.js';

/**
 * Yields the messages of a stream of the leader cluster. When nothing comes for `patienceMs` the call is given up, and
 * the iteration throws a LinkError of DEADLINE_EXCEEDED. Time that the reader takes between two messages does not
 * count.
 */
export async function* patiently<Message>(
  clock: Clock,
  patienceMs: number,
  signal: AbortSignal,
  begin: (signal: AbortSignal) => AsyncIterable<Message>,
): AsyncGenerator<Message> {
  const aborter = new AbortController();
  const abort = (): void => aborter.abort();
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  const messages = begin(aborter.signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      let hasStalled = false;
      const timer = clock.startTimer(patienceMs, () => {
        hasStalled = true;
        abort();
      });
      let next: IteratorResult<Message> | undefined;
      let failure: unknown;
      try {
        next = await messages.next();
      } catch (error) {
        failure = error;
      }
      timer.cancel();
      if (hasStalled) {
        const text = `the leader cluster sent nothing for ${Math.round(patienceMs / 1000)} s: it is asked again`;
        throw new LinkError(Status.DeadlineExceeded, text, true, false, { cause: failure });
      }
      if (failure !== undefined) throw failure;
      if (next!.done === true) return;
      yield next!.value;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    await messages.return?.();
  }
}
