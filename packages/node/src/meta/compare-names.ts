/** Orders tables by name, in byte order, as the wire requires it. */
export function compareNames(a: { readonly name: string }, b: { readonly name: string }): number {
  if (hasOtherOrder.test(a.name) || hasOtherOrder.test(b.name))
    return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Matches characters that UTF-16, by which JavaScript compares, orders differently from UTF-8. */
const hasOtherOrder = /[\ud800-\uffff]/;
