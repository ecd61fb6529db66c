/** One thing that must hold at full size. */
export interface Measurement {
  readonly what: string;
  /** In words, with the unit. */
  readonly target: string;
  readonly measured: string;
  readonly isMet: boolean;
}

/** How large the checks that name a size shall be, where that was said; the others have one size. */
export interface AcceptanceSizes {
  readonly keyCount: number | undefined;
  /** How long a run under load lasts. */
  readonly seconds: number | undefined;
  /** Tables of idle-tables. */
  readonly tableCount?: number | undefined;
  /** How often speeds are measured; the median counts. */
  readonly rounds: number | undefined;
}

/** A group of measurements that share a cluster. */
export interface AcceptanceCheck {
  /** One word, by which it can be chosen on the command line. */
  readonly name: string;
  run(sizes: AcceptanceSizes): Promise<Measurement[]>;
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
