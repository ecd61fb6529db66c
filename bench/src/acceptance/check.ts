/** One thing that must hold at full size. */
export interface Measurement {
  readonly what: string;
  /** In words, with the unit. */
  readonly target: string;
  readonly measured: string;
  readonly isMet: boolean;
}

/** A group of measurements that share a cluster. */
export interface AcceptanceCheck {
  /** One word, by which it can be chosen on the command line. */
  readonly name: string;
  run(): Promise<Measurement[]>;
}

/** A measurement that must stay below a limit. */
export function below(what: string, limit: number, measured: number, unit: string): Measurement {
  return {
    what,
    target: `< ${limit} ${unit}`,
    measured: `${formatNumber(measured)} ${unit}`,
    isMet: measured < limit,
  };
}

function formatNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 0);
}
