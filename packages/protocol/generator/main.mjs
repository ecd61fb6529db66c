// A protoc plugin: the types of ts-proto, and below them in the same file our codecs and services for them
// (codecs.mjs). buf.gen.yaml runs it, `npm run generate` runs buf.
//
// ts-proto is run as the plugin that it is, with the request that came, less the fields that have no property
// of their own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { CodeGeneratorRequestSchema, CodeGeneratorResponseSchema } from '@bufbuild/protobuf/wkt';
import { withoutSecondPlaces } from './second-places.mjs';

const TS_PROTO_OPTIONS = [
  'env=node',
  'esModuleInterop=true',
  'importSuffix=.js',
  // 64-bit fields as bigint: exact, and the fastest of ts-proto's representations.
  'forceLong=bigint',
  'oneof=unions-value',
  // A table may be called __proto__, which is no safe key of a plain object.
  'useMapType=true',
  'outputEncodeMethods=false',
  'outputJsonMethods=false',
  'outputPartialMethods=false',
  'outputServices=none',
];

/** Runs ts-proto's plugin. */
async function generateTypes(request) {
  const program = fileURLToPath(import.meta.resolve('ts-proto/protoc-gen-ts_proto'));
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  child.stdin.end(
    toBinary(CodeGeneratorRequestSchema, { ...request, parameter: TS_PROTO_OPTIONS.join(',') }),
  );
  const response = fromBinary(CodeGeneratorResponseSchema, await buffer(child.stdout));
  const [code] = await exited;
  if (code !== 0 || response.error !== '') {
    throw new Error(`ts-proto failed: ${response.error || `exit code ${code}`}`);
  }
  return response;
}

const input = await buffer(process.stdin);
// ts-proto works while the plugin's library is loaded, which takes as long.
const typesReady = generateTypes(withoutSecondPlaces(fromBinary(CodeGeneratorRequestSchema, input)));
const { codecs } = await import('./codecs.mjs');
const response = codecs.run(fromBinary(CodeGeneratorRequestSchema, input));
const types = new Map((await typesReady).file.map(({ name, content }) => [name, content]));
for (const file of response.file) {
  file.content = `${types.get(file.name)}\n${file.content}`;
}
process.stdout.write(toBinary(CodeGeneratorResponseSchema, response));
