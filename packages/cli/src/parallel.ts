/**
 * Works on items, `parallel` of them at the same time, and resolves with the results in the order of the items. After a
 * failure it begins nothing new and aborts `signal`; when the work under way has ended it rejects with the first
 * failure.
 */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  parallel: number,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const failed = new AbortController();
  let failure: { readonly error: unknown } | undefined;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const place = next++;
      try {
        results[place] = await work(items[place]!, failed.signal);
      } catch (error) {
        failure ??= { error };
        failed.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, worker));
  if (failure !== undefined) throw failure.error;
  return results;
}
