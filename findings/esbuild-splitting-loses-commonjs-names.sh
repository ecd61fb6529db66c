#!/usr/bin/env bash
# A dynamic import of a CommonJS module has its named exports in Node, and in a bundle of esbuild in one file; with
# `--splitting` (format esm, platform node) the same import has `default` alone, and the names are undefined. Nothing warns.
# Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-save --no-audit --no-fund esbuild@0.28.2
cat >library.cjs <<'JS'
exports.Named = class Named {};
JS
cat >entry.mjs <<'JS'
const { Named, default: all } = await import('./library.cjs');
console.log(typeof Named, typeof all.Named);
JS
bundle() { npx esbuild entry.mjs --bundle --format=esm --platform=node --log-level=warning --outdir="$1" "${@:2}"; }
bundle one --out-extension:.js=.mjs
bundle split --out-extension:.js=.mjs --splitting
node=$(node entry.mjs)
one=$(node one/entry.mjs)
split=$(node split/entry.mjs)
echo "esbuild $(npx esbuild --version): Node: $node; bundled: $one; bundled with --splitting: $split"
[ "$node" = 'function function' ] && [ "$one" = 'function function' ] && [ "$split" = 'undefined function' ]
