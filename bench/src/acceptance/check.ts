/** The result of one check at full size. */
export interface Measurement {
  readonly what: string;
  /** The condition in words, with the unit. */
  readonly target: string;
  readonly measured: string;
  readonly isMet: boolean;
}

/** Sizes from the command line for the checks that use them; undefined means a check's own size. */
export interface AcceptanceSizes {
  readonly keyCount: number | undefined;
  /** The seconds that a run under load lasts. */
  readonly seconds: number | undefined;
  /** The number of tables in idle-tables and console-cost. */
  readonly tableCount?: number | undefined;
  /** The number of times that speeds are measured; the median counts. */
  readonly rounds: number | undefined;
}

/** A group of measurements that share a cluster. */
export interface AcceptanceCheck {
  /** One word that selects the check on the command line. */
  readonly name: string;
  run(sizes: AcceptanceSizes): Promise<Measurement[]>;
}

/** Makes a measurement that must stay below a limit. */
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
