/** The expected milliseconds between two beats of the event loop. */
const BEAT_MS = 100;
/** Milliseconds after a standstill within which requests are still read that waited for its end. */
const AFTERMATH_MS = 1_000;

let lastBeatAtMs = 0;
let standstillMs = 0;
let endedAtMs = Number.NEGATIVE_INFINITY;
let timer: NodeJS.Timeout | undefined;

/** Watches the event loop from now on, for as long as the process lives. */
export function watchStandstill(): void {
  if (timer !== undefined) return;
  lastBeatAtMs = performance.now();
  timer = setInterval(() => {
    const nowMs = performance.now();
    const lateMs = nowMs - lastBeatAtMs - BEAT_MS;
    lastBeatAtMs = nowMs;
    if (lateMs < BEAT_MS || (lateMs < standstillMs && nowMs - endedAtMs < AFTERMATH_MS)) return;
    standstillMs = lateMs;
    endedAtMs = nowMs;
  }, BEAT_MS);
  timer.unref();
}

/**
 * Returns for how many milliseconds the input read at `nowMs` may have waited because this process's event loop stood
 * still; 0 when it has not done so lately. `nowMs` is on the clock of `performance.now()`.
 */
export function recentStandstillMs(nowMs: number): number {
  // The loop reads sockets before its timers notice that they are late.
  const overdueMs = nowMs - lastBeatAtMs - BEAT_MS;
  return Math.max(0, overdueMs, nowMs - endedAtMs < AFTERMATH_MS ? standstillMs : 0);
}
