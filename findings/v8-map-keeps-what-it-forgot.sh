#!/usr/bin/env bash
# A Map that many keys pass through, of which few are there at a time (requests under way by number, say), makes V8's collector
# keep what was deleted from it. Every few insertions the Map gets a new table, and the old table refers to the new one. Once a
# table was moved to the old generation, which a quiet moment is enough for, all tables after it are reached from it when young
# objects are collected, and all values that were in one when it was replaced: they are copied twice and fill the old
# generation until the next full collection, on and on. Ninety-nine of a hundred values are long deleted then. An array as a
# ring, with the same values for the same time, leaves next to nothing; so does a Map that is replaced by a new one now and
# then. Seen with Node 20 to 26. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
cat >churn.mjs <<'JS'
import { getHeapSpaceStatistics } from 'node:v8';

const LIVE = 32;
const ROUNDS = 1_500_000;
class Value {
  constructor(i) {
    this.list = [1, 2, 3, 4, 5, 6, 7, i];
  }
}
const holders = {
  map() {
    const map = new Map();
    return { add: (i) => map.set(i, new Value(i)), remove: (i) => map.delete(i) };
  },
  ring() {
    const ring = new Array(64).fill(undefined);
    return { add: (i) => (ring[i % 64] = new Value(i)), remove: (i) => (ring[i % 64] = undefined) };
  },
  renewed() {
    let map = new Map();
    return {
      add(i) {
        if (i % 1000 === 0) map = new Map(map);
        map.set(i, new Value(i));
      },
      remove: (i) => map.delete(i),
    };
  },
};
const oldBytes = () =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space').space_used_size;

let sink;
const holder = holders[process.argv[2]]();
for (let i = 0; i < LIVE; i++) holder.add(i);
// A quiet moment: others allocate, and what is there becomes old.
for (let i = 0; i < ROUNDS; i++) sink = new Value(i);
let grownBytes = 0;
let before = oldBytes();
for (let i = LIVE; i < ROUNDS; i++) {
  holder.add(i);
  holder.remove(i - LIVE);
  if (i % 1000 !== 0) continue;
  // What a full collection takes away is not counted.
  const now = oldBytes();
  grownBytes += Math.max(0, now - before);
  before = now;
}
console.log(sink === undefined ? 0 : Math.round(grownBytes / 1e6));
JS
changed=0
for version in 20.20.2 22.23.3 24.21.0 26.10.0; do
  npm install --silent --no-save --no-audit --no-fund "node@$version"
  node=node_modules/node/bin/node
  map=$("$node" churn.mjs map)
  ring=$("$node" churn.mjs ring)
  renewed=$("$node" churn.mjs renewed)
  echo "node $("$node" --version): a Map left $map MB in the old generation, a ring $ring MB, a Map that is renewed $renewed MB"
  if ((map < 50 || ring > 5 || renewed > 15)); then changed=1; fi
done
exit "$changed"
