import { createHash } from 'node:crypto';

/**
 * The most bytes of a file's name: 255 on most disks, less the suffixes that are appended while the file is written.
 */
const FILE_NAME_BYTES_MAX = 255 - '.json.tmp'.length;
/** A leading dot, which hides a file, and characters that some disks or systems reject or misread. */
const UNFIT = /^\.|[/\\:*?"<>|\p{Cc}\p{Cs}]/u;
/** Names of devices on Windows, with or without an extension. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;
/** The form of `hashedName`. A table with a name of this form could collide with another one, so it is hashed, too. */
const HASHED = /^table-[0-9a-f]{32}$/i;

/**
 * Returns by table the names of its file in a backup, without the extension. A file is called like its table when every
 * disk takes that name; otherwise, and when some disk takes the names of two tables for the same (`users` and `Users`,
 * or two spellings of `ü`), it is called `table-` and the first 32 hex digits of the name's SHA-256. The manifest says
 * which file holds which table. `extension` includes its dot.
 */
export function backupFileNames(tables: readonly string[], extension: string): ReadonlyMap<string, string> {
  const alike = new Map<string, number>();
  for (const table of tables) alike.set(foldedName(table), (alike.get(foldedName(table)) ?? 0) + 1);
  return new Map(
    tables.map((table) => {
      const isFit =
        !UNFIT.test(table) &&
        !DEVICE.test(table) &&
        !HASHED.test(table) &&
        Buffer.byteLength(table + extension) <= FILE_NAME_BYTES_MAX &&
        alike.get(foldedName(table)) === 1;
      return [table, isFit ? table : hashedName(table)];
    }),
  );
}

function hashedName(table: string): string {
  return `table-${createHash('sha256').update(table).digest('hex').slice(0, 32)}`;
}

/**
 * Maps names to the same text when some disk takes them for the same, because it ignores case, the encoding of accents,
 * or invisible characters.
 */
function foldedName(table: string): string {
  const visible = table.replace(/\p{Default_Ignorable_Code_Point}/gu, '');
  return visible.normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKC');
}
