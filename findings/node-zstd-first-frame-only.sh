#!/usr/bin/env bash
# Node's zstdDecompress (one-shot, synchronous and stream) ends after the first frame and drops the rest of its input
# without an error. RFC 8878, 3: zstd data is one or more frames, and what comes of them is joined; the zstd command and
# Node's own gunzip (of members) do so. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-save --no-audit --no-fund node@24.21.0
cat >frames.mjs <<'JS'
import * as zlib from 'node:zlib';

const frames = Buffer.concat([zlib.zstdCompressSync('first '), zlib.zstdCompressSync('second')]);
const members = Buffer.concat([zlib.gzipSync('first '), zlib.gzipSync('second')]);
const oneShot = zlib.zstdDecompressSync(frames).toString();
const { engine } = zlib.zstdDecompressSync(frames, { info: true });
const streamed = await new Promise((resolve, reject) => {
  let text = '';
  const stream = zlib.createZstdDecompress();
  stream.on('data', (part) => {
    text += part;
  });
  stream.on('end', () => resolve(text));
  stream.on('error', reject);
  stream.end(frames);
});
console.log(`node ${process.version}, zstd ${process.versions.zstd}`);
console.log(`two gzip members, gunzip:         ${JSON.stringify(zlib.gunzipSync(members).toString())}`);
console.log(`two zstd frames, zstdDecompress:  ${JSON.stringify(oneShot)}`);
console.log(`two zstd frames, as a stream:     ${JSON.stringify(streamed)}`);
console.log(`input used, of ${frames.length} bytes:        ${engine.bytesWritten}`);
process.exitCode = oneShot === 'first ' && streamed === 'first ' && engine.bytesWritten < frames.length ? 0 : 1;
JS
node_modules/node/bin/node frames.mjs
