/** How often the event loop is expected to come round. */
const BEAT_MS = 100;
/** How long after a standstill requests are still read that waited for its end. */
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
 * How long, in milliseconds, this process may have left lying what it reads at `nowMs`, because its event loop stood
 * still; 0 where it did not lately. `nowMs` is on the clock of `performance.now()`.
 */
export function recentStandstillMs(nowMs: number): number {
  // The loop reads sockets before its timers find out that they are late.
  const overdueMs = nowMs - lastBeatAtMs - BEAT_MS;
  return Math.max(0, overdueMs, nowMs - endedAtMs < AFTERMATH_MS ? standstillMs : 0);
}
