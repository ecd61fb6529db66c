import type { ConfigOption } from './config-schema.js';
import { formatDuration, formatSizeBytes } from './units.js';

/** Returns a word or two for the value of an option: `file`, `duration`, `gap|stop-writes`. */
export function optionValue({ kind, placeholder, choices }: ConfigOption): string {
  switch (kind) {
    case 'text':
      return placeholder ?? 'value';
    case 'choice':
      return choices!.join('|');
    case 'boolean':
      return 'true|false';
    case 'durationMs':
      return 'duration';
    case 'sizeBytes':
      return 'size';
    case 'tableNames':
      return 'names';
    case 'address':
      return 'url';
    case 'secret':
    case 'number':
    case 'ratio':
    case 'members':
      return kind;
  }
}

/** Returns a default of an option as an operator would write it, or the effect of an empty default. */
export function optionDefault(option: ConfigOption, value: unknown = option.default): string {
  if (option.whenEmpty !== undefined) return option.whenEmpty;
  if (value === '') return 'none';
  if (value === 0 && option.whenZero !== undefined) return `0, ${option.whenZero}`;
  return formatValue(option, value) + (option.unit === undefined ? '' : ` ${option.unit}`);
}

/** Returns the limits of an option's value: the least one, and the meaning of 0 unless that is the default. */
export function optionLimits(option: ConfigOption): string[] {
  const { kind, minimum, whenZero } = option;
  const limits: string[] = [];
  if (kind === 'members') limits.push(`such as ${minimum}=host-a:5012,${minimum! + 1}=host-b:5012`);
  else if (minimum) limits.push(`at least ${formatValue(option, minimum)}`);
  if (whenZero !== undefined && option.default !== 0) limits.push(`0: ${whenZero}`);
  return limits;
}

function formatValue({ kind }: ConfigOption, value: unknown): string {
  if (value === 0) return '0';
  if (kind === 'durationMs') return formatDuration(value as number);
  return kind === 'sizeBytes' ? formatSizeBytes(value as number) : String(value);
}
