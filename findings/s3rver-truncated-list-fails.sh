#!/usr/bin/env bash
# s3rver 3.7.1 answers a ListObjectsV2 that does not fit its page (here max-keys=2 of three objects) with 500
# InternalError on Node 17 and later: it makes the continuation token with a cipher that OpenSSL 3 has only in its legacy
# provider. A list that fits is answered with 200. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-save --no-audit --no-fund s3rver@3.7.1
cat >list.mjs <<'JS'
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const S3rver = require('s3rver');
const { version } = require('s3rver/package.json');
console.log(`s3rver ${version}, node ${process.version}, OpenSSL ${process.versions.openssl}`);
mkdirSync('data');
const options = { address: '127.0.0.1', port: 0, silent: true, directory: './data', allowMismatchedSignatures: true };
const server = new S3rver({ ...options, configureBuckets: [{ name: 'bucket' }] });
const { port } = await server.run();
const bucket = `http://127.0.0.1:${port}/bucket`;
for (const key of ['a', 'b', 'c']) await fetch(`${bucket}/${key}`, { method: 'PUT', body: 'x' });
const list = async (keysMax) => {
  const response = await fetch(`${bucket}?list-type=2&max-keys=${keysMax}`);
  const text = await response.text();
  const code = /<Code>(.*?)<\/Code>/.exec(text)?.[1];
  console.log(`max-keys=${keysMax}: ${response.status} ${code ?? `${text.split('<Key>').length - 1} keys`}`);
  return response.status;
};
const fits = await list(3);
const truncated = await list(2);
process.exit(fits === 200 && truncated === 500 ? 0 : 1);
JS
node list.mjs
