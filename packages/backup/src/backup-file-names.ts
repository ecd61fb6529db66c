import { createHash } from 'node:crypto';

/**
 * The most bytes that the name of a table's file may have: 255 on most disks, less the ending that is appended
 * meanwhile.
 */
const FILE_NAME_BYTES_MAX = 255 - '.json.tmp'.length;
/**
 * Matches a dot that hides a file, and characters that some disks or systems do not take, or take for something else.
 */
const UNFIT = /^\.|[/\\:*?"<>|\p{Cc}\p{Cs}]/u;
/** Matches names of devices, also with an extension. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;
/** Matches names that `hashedName` makes, which no table may take from another by being called so. */
const HASHED = /^table-[0-9a-f]{32}$/i;

/**
 * Returns the names of the files that hold tables in a backup, without an extension, by table. A table's name is that
 * of its file where every disk takes it; any other table, and tables whose names some disks take for the same (`users`
 * and `Users`, or two spellings of `ü`), have `table-<first 32 hex digits of the name's sha256>`. The manifest says
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
 * Returns equal texts for two names that some disk takes for the same: it ignores case, how accents are written, or
 * invisible characters.
 */
function foldedName(table: string): string {
  const visible = table.replace(/\p{Default_Ignorable_Code_Point}/gu, '');
  return visible.normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKC');
}
