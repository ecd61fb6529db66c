const durationUnitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

const sizeUnitsBytes: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['kib', 1024],
  ['mib', 1024 ** 2],
  ['gib', 1024 ** 3],
  ['kb', 1000],
  ['mb', 1000 ** 2],
  ['gb', 1000 ** 3],
]);

/**
 * Reads a duration as Go writes it: `50ms`, `1.5s`, `1h30m`, or `0`. Returns milliseconds, or undefined when the text
 * is not a duration.
 */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    totalMs += Number(amount) * durationUnitsMs[unit!]!;
  }
  return Number.isFinite(totalMs) ? totalMs : undefined;
}

/** Reads a size such as `16MiB`, `64kb` or `16777216`. Returns bytes, or undefined when the text is not a size. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text);
  const unit = match && sizeUnitsBytes.get(match[2]!.toLowerCase());
  const sizeBytes = unit ? Math.round(Number(match[1]) * unit) : undefined;
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}

/** Writes a duration in the form that `parseDurationMs` reads: `50ms`, `5s`, `1m`. */
export function formatDuration(durationMs: number): string {
  for (const unit of ['h', 'm', 's']) {
    const unitMs = durationUnitsMs[unit]!;
    if (durationMs >= unitMs && durationMs % unitMs === 0) return `${durationMs / unitMs}${unit}`;
  }
  return `${durationMs}ms`;
}

/** Writes a size in the form that `parseSizeBytes` reads: `16MiB`, `64KiB`, `1000`. */
export function formatSizeBytes(sizeBytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const unitBytes = sizeUnitsBytes.get(unit.toLowerCase())!;
    if (sizeBytes >= unitBytes && sizeBytes % unitBytes === 0) return `${sizeBytes / unitBytes}${unit}`;
  }
  return String(sizeBytes);
}
