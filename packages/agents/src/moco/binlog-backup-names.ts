import { isKey } from '@coxswain/archive';

const ID_BYTES_MAX = 900;
const NUMBER_DIGITS = 6;

/** Whether a backup may have that id: S3 has to take it as a key, also with a number behind it. */
export function isBackupId(id: string): boolean {
  return Buffer.byteLength(id) <= ID_BYTES_MAX && isKey(id);
}

/** The name of the object with that number, from 0 on. The list of them has the id itself for its name. */
export function partName(id: string, number: number): string {
  return `${id}-${String(number).padStart(NUMBER_DIGITS, '0')}`;
}
