// Generates packages/protocol/src/gen and packages/protocol/descriptors.binpb from proto/.
//
//   node scripts/generate.mjs           writes them
//   node scripts/generate.mjs --check   exits 1 when the committed ones differ from what it would write
//
// ts-proto's output is adapted to the codec in packages/protocol/src/wire: as generated, it allocates a
// writer per message and copies every bytes field when decoding and every message when sending, which
// makes it several times slower than it has to be (`node packages/protocol/bench/codec.mjs` measures it).
// It also lets a nested message read past its own end. Each adaptation fails loudly when it no longer
// finds what it replaces, so that a new ts-proto cannot slip through.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const genFolder = 'packages/protocol/src/gen';
const descriptorFile = 'packages/protocol/descriptors.binpb';

/** What ts-proto puts around the fields of a decoder ($1): a bound and a depth that nothing enforces. */
const decoder = new RegExp(
  [
    ' {4}const previousRecursionDepth = [\\s\\S]*?',
    ' {4}try \\{\n',
    ' {6}const end = [^\n]*\n',
    '([\\s\\S]*?)',
    ' {8}if \\(\\(tag & 7\\) === 4 \\|\\| tag === 0\\) \\{\n',
    ' {10}break;\n',
    ' {8}\\}\n',
    ' {8}reader\\.skip\\(tag & 7\\);\n',
    ' {6}\\}\n',
    ' {6}return message;\n',
    ' {4}\\} finally \\{\n',
    '[^\n]*\n',
    ' {4}\\}\n',
  ].join(''),
  'g',
);

/** Runs buf and returns what it wrote into a scratch folder: file names relative to the root, and contents. */
function generate() {
  const scratch = mkdtempSync(join(tmpdir(), 'coxswain-generate-'));
  try {
    const buf = (...args) =>
      execFileSync(join(root, 'node_modules/.bin/buf'), args, { cwd: root, stdio: 'inherit' });
    buf('generate', '--output', scratch);
    buf(
      'build',
      '--as-file-descriptor-set',
      '--exclude-source-info',
      '--output',
      join(scratch, descriptorFile),
    );
    return new Map(
      filesBelow(scratch).map((path) => {
        const name = relative(scratch, path).split(sep).join('/');
        const content = readFileSync(path);
        return [name, name.endsWith('.ts') ? Buffer.from(adapt(name, content.toString())) : content];
      }),
    );
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path) : [path];
    })
    .sort();
}

/** Adapts one generated file to the codec. */
function adapt(name, generated) {
  const wireFolder = relative(dirname(name), 'packages/protocol/src/wire').split(sep).join('/');
  let text = generated;
  const replace = (what, pattern, replacement) => {
    const adapted = text.replaceAll(pattern, replacement);
    if (adapted === text) {
      throw new Error(`${name}: ${what} not found; has ts-proto changed?`);
    }
    text = adapted;
  };
  const replaceIf = (present, ...args) => {
    if (text.includes(present)) {
      replace(...args);
    }
  };

  replace(
    'import of the wire runtime',
    'import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";',
    `import { emptyBytes, WireReader } from "${wireFolder}/wire-reader.js";\n` +
      `import { beginMessage, WireWriter } from "${wireFolder}/wire-writer.js";`,
  );
  // All encoders share one writer.
  replace(
    'writer per message',
    'writer: BinaryWriter = new BinaryWriter()',
    'writer: WireWriter = beginMessage()',
  );
  replace('BinaryWriter', /\bBinaryWriter\b/g, 'WireWriter');
  replace('BinaryReader', /\bBinaryReader\b/g, 'WireReader');

  // A nested message is bounded and its depth counted by the reader, which throws whatever goes wrong.
  replace('decoder', decoder, (_, fields) => {
    const loop = fields
      .replaceAll(/^ {2}/gm, '')
      .replace('reader.pos < end', 'reader.pos < reader.end')
      .replace('const tag = reader.uint32();', 'const tag = reader.tag();');
    return (
      '    const outerEnd = reader.enter(length);\n' +
      `${loop}      reader.skip(tag);\n    }\n` +
      '    reader.leave(outerEnd);\n    return message;\n'
    );
  });
  replaceIf(
    'decode(reader, reader.uint32())',
    'nested decoder',
    'decode(reader, reader.uint32())',
    'decode(reader, reader.length())',
  );

  // Tags need no range check, other uint32 values do.
  replaceIf('.uint32(', 'tag', /\bwriter\.uint32\((\d+)\)/g, 'writer.tag($1)');

  // Bytes are views on the way in, and nothing is copied on the way out.
  replaceIf('reader.bytes()', 'copy of a bytes field', 'Buffer.from(reader.bytes())', 'reader.bytes()');
  replaceIf('Buffer.alloc(0)', 'empty bytes', 'Buffer.alloc(0)', 'emptyBytes');
  replaceIf(
    '.finish()',
    'copy of an encoded message',
    /Buffer\.from\((\w+\.encode\(value\)\.finish\(\))\)/g,
    '$1',
  );

  // The writer checks the range of 64-bit fields itself, once it has them as words.
  replaceIf('BigInt.as', 'range check', / *if \(BigInt\.as[^\n]*\n *throw [^\n]*\n *\}\n/g, '');

  // A key of a Struct may be called __proto__.
  replaceIf(
    'unwrap(message: Struct)',
    'object of a Struct',
    'const object: { [key: string]: any } = {};',
    'const object: { [key: string]: any } = globalThis.Object.create(null);',
  );

  // RequestOp.DeleteRange has prev_kv at 3 and at 4 (see mvcc.proto): one property stands for both.
  if (name.endsWith('/mvcc.ts')) {
    replace(
      'declaration of prevKvSeed',
      / {2}\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n {2}prevKvSeed: boolean;\n/g,
      '',
    );
    replace('default of prevKvSeed', ' prevKvSeed: false,', '');
    replace('copy of prevKvSeed', / *message\.prevKvSeed = object\.prevKvSeed [^\n]*\n/g, '');
    replace(
      'decoder of both',
      /message\.prevKvSeed = reader\.bool\(\);([\s\S]*?)message\.prevKv = reader\.bool\(\);/g,
      'message.prevKv = reader.bool() || message.prevKv;$1message.prevKv = reader.bool() || message.prevKv;',
    );
    replace('encoder of both', 'message.prevKvSeed', 'message.prevKv');
  }

  for (const remnant of [
    'bufbuild',
    'Binary',
    '__tsProto',
    'Buffer.from',
    'Buffer.alloc',
    'asUintN',
    'asIntN',
    'prevKvSeed',
  ]) {
    if (text.includes(remnant)) {
      throw new Error(`${name}: ${remnant} is left; has ts-proto changed?`);
    }
  }
  return dropUnusedImports(text);
}

/** Removes imports of the wire runtime that a file without such fields does not use. */
function dropUnusedImports(text) {
  return text.includes('emptyBytes', text.indexOf('emptyBytes') + 1)
    ? text
    : text.replace('emptyBytes, ', '');
}

/** The committed files, in the same form as generate() returns. */
function committed() {
  const paths = [...filesBelow(join(root, genFolder)), join(root, descriptorFile)].filter((path) =>
    existsSync(path),
  );
  return new Map(paths.map((path) => [relative(root, path).split(sep).join('/'), readFileSync(path)]));
}

const fresh = generate();
if (process.argv[2] === '--check') {
  const current = committed();
  const stale = [...new Set([...fresh.keys(), ...current.keys()])].filter(
    (name) => !fresh.has(name) || !current.get(name)?.equals(fresh.get(name)),
  );
  if (stale.length > 0) {
    console.error(`not what proto/ generates, run \`npm run generate\`: ${stale.join(', ')}`);
    process.exitCode = 1;
  }
} else {
  rmSync(join(root, genFolder), { recursive: true, force: true });
  for (const [name, content] of fresh) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}
