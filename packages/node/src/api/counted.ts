/** Writes a number together with the noun that it counts: `1 key`, `2 keys`. */
export function counted(number: number | bigint, one: string, many = `${one}s`): string {
  return `${number} ${Number(number) === 1 ? one : many}`;
}

/** Says how many of a group's members answer: `2 of 3 members answer`. */
export function answersOf(answering: number, members: number): string {
  return `${answering} of ${counted(members, 'member answers', 'members answer')}`;
}
