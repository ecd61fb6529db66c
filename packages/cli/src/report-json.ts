/** The fields of reports that hold a double, which JSON shows as a number. */
const doubleFields: ReadonlySet<string> = new Set([
  'seconds',
  'requestsPerSecond',
  'p50',
  'p90',
  'p99',
  'p999',
  'max',
]);

/**
 * Converts what a command has to say of its own, and is no message of the API, to the form of protobuf JSON: whole numbers
 * are 64-bit integers, and so strings. A field is left out only when it is not known, since some may be 0 or unknown.
 */
export function reportToJson(report: object): object {
  const entries = Object.entries(report).map(([name, value]) => [name, reportValue(name, value)]);
  return Object.fromEntries(entries) as object;
}

function reportValue(name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return doubleFields.has(name) ? value : String(value);
  if (Array.isArray(value)) return value.map((item) => reportValue(name, item));
  return value !== null && typeof value === 'object' ? reportToJson(value) : value;
}
