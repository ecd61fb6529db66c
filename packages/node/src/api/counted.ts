/** A number with what it counts, in words: `1 key`, `2 keys`. */
export function counted(number: number | bigint, one: string, many = `${one}s`): string {
  return `${number} ${Number(number) === 1 ? one : many}`;
}

/** How many of some members answer, in words: `2 of 3 members answer`. */
export function answersOf(answering: number, members: number): string {
  return `${answering} of ${counted(members, 'member answers', 'members answer')}`;
}
