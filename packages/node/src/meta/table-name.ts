/** The rule for the names of tables, in words. */
export const TABLE_NAME_RULE = '1 to 255 bytes of UTF-8 without "/", NUL or control characters';

/**
 * Whether a table may have that name (T5): it follows `TABLE_NAME_RULE`. Names with "/" are those of tables in
 * quarantine (R4).
 */
export function isTableName(name: string): boolean {
  const bytes = Buffer.from(name);
  // A lone surrogate has no UTF-8, so it would come back as another name.
  return name !== '' && !/[/\p{Cc}]/u.test(name) && bytes.length <= 255 && bytes.toString() === name;
}
