import { eventually } from '../../packages/testing/dist/src/index.js';

/** No key here holds a byte below it, and Armada refuses NUL in keys. */
const least = Buffer.of(1);
const READ_TIMEOUT_MS = 60_000;
const DIFFERENCES_SHOWN = 5;

/**
 * Every pair of a table, page by page: nobody writes meanwhile when it counts. Not by IterateRange, whose stream did not
 * always end on Armada.
 */
async function contentOf(client) {
  const pairs = new Map();
  let from = least;
  for (;;) {
    const page = await client.page(from, READ_TIMEOUT_MS);
    for (const { key, value, modRevision } of page.pairs) {
      pairs.set(key.toString(), { value: value.toString(), modRevision: Number(modRevision) });
    }
    const last = page.pairs.at(-1);
    if (!page.more || last === undefined) return pairs;
    from = Buffer.concat([last.key, least]);
  }
}

/**
 * Waits until each of the nodes holds the keys and values of the leader cluster's table, and gives its content. Throws
 * with the first keys that differ when that does not come about.
 */
export async function untilEqual(table, leader, nodes) {
  let differences = [];
  try {
    return await eventually('', async () => {
      // What was seen the last time must not hide why nothing is seen now.
      differences = [];
      const theirs = await contentOf(leader.forTable(table));
      for (const [index, node] of nodes.entries()) {
        const content = await contentOf(node.forTable(table));
        differences = differencesBetween(theirs, content).map((line) => `node ${index + 1}: ${line}`);
        if (differences.length > 0) return false;
      }
      return { pairs: theirs };
    });
  } catch (error) {
    const shown = differences.slice(0, DIFFERENCES_SHOWN).join('; ');
    throw new Error(
      `table '${table}' differs in ${differences.length} keys: ${shown || error.cause?.message}`,
      { cause: error },
    );
  }
}

function differencesBetween(theirs, ours) {
  const lines = [];
  for (const [key, { value }] of theirs) {
    const found = ours.get(key);
    if (found === undefined) lines.push(`'${key}' is missing`);
    else if (found.value !== value)
      lines.push(`'${key}' is ${brief(found.value)} and ${brief(value)} in the leader cluster`);
  }
  for (const key of ours.keys()) if (!theirs.has(key)) lines.push(`'${key}' is not in the leader cluster`);
  return lines;
}

function brief(value) {
  return value.length > 40 ? `${value.slice(0, 40)}… (${value.length})` : JSON.stringify(value);
}
