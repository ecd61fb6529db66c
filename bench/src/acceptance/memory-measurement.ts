import type { MemoryUse } from '../clusters/memory-watch.js';
import type { Measurement } from './check.js';

const ABOVE_IDLE_MAX_BYTES = 150e6;

/** Makes the measurement that no process takes more than 150 MB above idle. `uses` holds the memory by process name. */
export function memoryMeasurement(during: string, uses: Readonly<Record<string, MemoryUse>>): Measurement {
  const texts = Object.entries(uses).map(
    ([name, { startedBytes, idleBytes, peakBytes, residentIdleBytes, residentPeakBytes }]) =>
      `${name} ${megabytes(peakBytes - idleBytes)} MB ` +
      `(${megabytes(idleBytes)} to ${megabytes(peakBytes)}; just started ${megabytes(startedBytes)}; ` +
      `with mapped files ${megabytes(residentIdleBytes)} to ${megabytes(residentPeakBytes)})`,
  );
  return {
    what: `memory above idle during ${during}`,
    target: `< ${megabytes(ABOVE_IDLE_MAX_BYTES)} MB`,
    measured: texts.join('; '),
    isMet: Object.values(uses).every(
      ({ idleBytes, peakBytes }) => peakBytes - idleBytes < ABOVE_IDLE_MAX_BYTES,
    ),
  };
}

export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
