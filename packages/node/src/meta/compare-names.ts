/** The order in which tables are listed: by name, in byte order, as the wire wants it. */
export function compareNames(a: { readonly name: string }, b: { readonly name: string }): number {
  if (hasOtherOrder.test(a.name) || hasOtherOrder.test(b.name))
    return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** UTF-16, in which JavaScript compares, has these in another order than UTF-8 has them. */
const hasOtherOrder = /[\ud800-\uffff]/;
