/** Returns a number with the thing that it counts, in words: `1 key`, `2 keys`. */
export function counted(number: number | bigint, one: string, many = `${one}s`): string {
  return `${number} ${Number(number) === 1 ? one : many}`;
}
