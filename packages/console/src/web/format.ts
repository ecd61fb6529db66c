/** Numbers, sizes and times as the page shows them. All of them are in English, with a point and thin groups. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export const NONE = '–';

export function formatCount(value: number): string {
  return whole.format(value);
}

/** `1 table`, `2 tables`. */
export function counted(value: number, noun: string): string {
  return `${formatCount(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Three digits that count: `0.42`, `18.3`, `1,204`; whole numbers as they are. */
export function formatFigure(value: number): string {
  if (Number.isInteger(value)) return whole.format(value);
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return whole.format(value);
  if (magnitude >= 10) return value.toFixed(1);
  return value.toFixed(magnitude >= 0.095 ? 2 : 3);
}

export function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 0;
  for (; size >= 1024 && unit < UNITS.length - 1; unit++) size /= 1024;
  return `${Number.isInteger(size) || size >= 100 ? size.toFixed(0) : size.toFixed(1)} ${UNITS[unit]}`;
}

export function formatPercent(share: number): string {
  const percent = share * 100;
  return `${percent >= 10 || percent === 0 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

/** `350 ms`, `12 s`, `3 min`, `5 h`, `12 days`. */
export function formatDuration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.round(ms)} ms`;
  if (ms < 2 * MINUTE_MS) return `${Math.round(ms / SECOND_MS)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.round(ms / HOUR_MS)} h`;
  return `${formatCount(Math.round(ms / DAY_MS))} days`;
}

/** `2026-11-30 14:05:09`, by the clock of whoever looks. */
export function formatTime(ms: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `14:05:09`. */
export function formatClock(ms: number): string {
  return formatTime(ms).slice(11);
}
