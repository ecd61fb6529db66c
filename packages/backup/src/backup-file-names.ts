import { createHash } from 'node:crypto';

/** What the name of a table's file may be as long as, in bytes: 255 on most disks, less what is put after it meanwhile. */
const FILE_NAME_BYTES_MAX = 255 - '.json.tmp'.length;
/** A dot that hides a file, and characters that some disks or systems do not take, or take for something else. */
const UNFIT = /^\.|[/\\:*?"<>|\p{Cc}\p{Cs}]/u;
/** Names of devices, whatever comes after a dot. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;
/** What `hashedName` makes, which no table may take from another by being called so. */
const HASHED = /^table-[0-9a-f]{32}$/i;

/**
 * The names of the files that hold tables in a backup, without an extension, by table. A table's name is that of its
 * file where every disk takes it; any other table, and tables whose names some disks take for the same (`users` and
 * `Users`, or two spellings of `ü`), have `table-<first 32 hex digits of the name's sha256>`. The manifest says which
 * file holds which table. `extension` with its dot.
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

/** Equal where some disk takes two names for the same: it ignores case, how accents are written, or what is invisible. */
function foldedName(table: string): string {
  const visible = table.replace(/\p{Default_Ignorable_Code_Point}/gu, '');
  return visible.normalize('NFKD').toUpperCase().toLowerCase().normalize('NFKC');
}
