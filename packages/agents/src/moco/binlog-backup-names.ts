import { isKey } from '@coxswain/archive';

const ID_BYTES_MAX = 900;
const NUMBER_DIGITS = 6;

/** Whether a backup may have this id: S3 must accept it as a key, also with a number appended. */
export function isBackupId(id: string): boolean {
  return Buffer.byteLength(id) <= ID_BYTES_MAX && isKey(id);
}

/** Names the object with this number, counted from 0. The list of the objects is stored under the id itself. */
export function partName(id: string, number: number): string {
  return `${id}-${String(number).padStart(NUMBER_DIGITS, '0')}`;
}
