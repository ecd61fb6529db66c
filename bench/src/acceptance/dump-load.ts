import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TemporaryDirectory } from '@coxswain/testing';
import { runningCluster } from '../clusters/running-cluster.js';
import { Command, type CommandResult } from '../faults/command.js';
import { type ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import { encodeKey } from '../load/key-space.js';
import { type AcceptanceCheck, below, type Measurement } from './check.js';
import { megabytes } from './memory-measurement.js';

const KEY_COUNT = 1_000_000;
/** One of this many keys has an empty value. */
const EMPTY_EVERY = 10;
const VALUE_SIZE_BYTES_MAX = 256;
/**
 * The most memory that the command may use; a process of Node with its modules takes 100 MB, and the pairs are more
 * than the rest.
 */
const COMMAND_MAX_MB = 250;

/** Checks that `coxswain load` and `dump` carry a million pairs of arbitrary bytes in bounded memory, byte for byte. */
export const dumpLoad: AcceptanceCheck = {
  name: 'dump-load',
  async run({ keyCount = KEY_COUNT }) {
    const temporary = new TemporaryDirectory();
    const directory = temporary.path;
    try {
      await using running = await runningCluster(() => ProcessCluster.start(1));
      const node = running.cluster.nodes[0]!;
      const [written, dumped] = [join(directory, 'written'), join(directory, 'dumped')];
      await pipeline(dumpOf(keyCount), createWriteStream(written));
      const load = await command(node, 'load', { stdin: written });
      const dump = await command(node, 'dump', { stdout: dumped });
      const areEqual = (await digest(written)) === (await digest(dumped));
      const size = `${keyCount} pairs, ${megabytes((await stat(written)).size)} MB of lines`;
      return [
        {
          what: `coxswain dump of what coxswain load stored: ${size}`,
          target: 'the same bytes',
          measured: areEqual ? 'the same bytes' : 'other bytes',
          isMet: areEqual,
        },
        memory('load', load, keyCount),
        memory('dump', dump, keyCount),
      ];
    } finally {
      temporary.remove();
    }
  },
};

/**
 * Yields lines as `coxswain dump` writes them: pairs in the order of their keys, whose ends and values are arbitrary
 * bytes.
 */
function* dumpOf(keyCount: number): Generator<string> {
  yield '# coxswain dump 1\n';
  for (let i = 0; i < keyCount; i++) {
    const bytes = randomBytes(4 + (i % EMPTY_EVERY === 0 ? 0 : i % VALUE_SIZE_BYTES_MAX));
    yield `${encodeKey(i).toString()}${escapeBytes(bytes.subarray(0, 4))}\t${escapeBytes(bytes.subarray(4))}\n`;
  }
  yield `# end ${keyCount}\n`;
}

/** Escapes bytes by the description of the format, independently of the measured code. */
function escapeBytes(bytes: Buffer): string {
  const names: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 13: '\\r', 92: '\\\\' };
  let text = '';
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x5c;
    text += isPlain ? String.fromCharCode(byte) : (names[byte] ?? `\\x${byte.toString(16).padStart(2, '0')}`);
  }
  return text;
}

function command(
  node: ClusterNode,
  name: string,
  files: { readonly stdin?: string; readonly stdout?: string },
): Promise<CommandResult> {
  return new Command([name, '--endpoints', node.address, '--timeout', '1m'], files).done();
}

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

function memory(name: string, { peakBytes, seconds }: CommandResult, keyCount: number): Measurement {
  const rate = (keyCount / seconds).toFixed(0);
  return below(`peak memory of coxswain ${name}, at ${rate} pairs/s`, COMMAND_MAX_MB, peakBytes / 1e6, 'MB');
}
