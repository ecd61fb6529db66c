#!/usr/bin/env bash
# s3mini 1.0.2 stores an object whose key begins with a slash, which S3 takes as any other character, under another key:
# the slashes are dropped, so that putObject('/a') writes the object 'a', and getObject('/a') reads it. Its documentation
# names no such rule. Slashes elsewhere stay. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-save --no-audit --no-fund s3mini@1.0.2
cat >put.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { S3mini } from 's3mini';

const { version } = JSON.parse(readFileSync('node_modules/s3mini/package.json', 'utf8'));
console.log(`s3mini ${version}, node ${process.version}`);
const paths = [];
const server = createServer((request, response) => {
  paths.push(`${request.method} ${request.url}`);
  request.resume().once('end', () => response.end());
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const endpoint = `http://127.0.0.1:${server.address().port}/bucket`;
const s3 = new S3mini({ accessKeyId: 'id', secretAccessKey: 'secret', endpoint, region: 'us-east-1' });
for (const key of ['a', '/a', '//a', 'b//a']) {
  await s3.putObject(key, 'x');
  console.log(`putObject(${JSON.stringify(key)}): ${paths.at(-1)}`);
}
server.close();
const expected = ['PUT /bucket/a', 'PUT /bucket/a', 'PUT /bucket/a', 'PUT /bucket/b//a'];
process.exit(JSON.stringify(paths) === JSON.stringify(expected) ? 0 : 1);
JS
node put.mjs
