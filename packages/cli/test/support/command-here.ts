import { Readable } from 'node:stream';
import { run } from '../../src/program.js';
import type { Outcome } from './command.js';

let isRunning = false;

/**
 * Runs a command within this process, as `bin/coxswain.cjs` does in one of its own, in a hundredth of the time that a
 * process takes to start. Its output is no terminal, and its input is one where `typed` says what a person types there.
 * Throws when another one is under way: both would write to the same stdout.
 */
export async function runHere(
  args: readonly string[],
  { stdin = '', typed, env = {} }: { stdin?: string | Buffer; typed?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  if (isRunning) throw new Error('another command is under way in this process');
  isRunning = true;
  const { stdout, stderr } = process;
  const input = Object.getOwnPropertyDescriptor(process, 'stdin')!;
  const { env: envBefore, noDeprecation = false } = process;
  const before = { stdout: stdout.write, stderr: stderr.write, isTTY: stderr.isTTY };
  const written: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  const gather = (pieces: Buffer[]) => (piece: string | Uint8Array) => {
    pieces.push(Buffer.from(piece as string));
    return true;
  };
  process.env = { ...process.env, ...env };
  stdout.write = gather(written.stdout);
  stderr.write = gather(written.stderr);
  stderr.isTTY = false;
  process.noDeprecation = true;
  // The input comes in one piece, as bytes.
  const value = Object.assign(Readable.from([Buffer.from(typed ?? stdin)]), { isTTY: typed !== undefined });
  Object.defineProperty(process, 'stdin', { configurable: true, value });
  try {
    const exitCode = await run(['node', 'coxswain', ...args]);
    const [out, err] = [written.stdout, written.stderr].map((pieces) => Buffer.concat(pieces).toString());
    return { exitCode, stdout: out!, stderr: err! };
  } finally {
    process.env = envBefore;
    process.noDeprecation = noDeprecation;
    stdout.write = before.stdout;
    stderr.write = before.stderr;
    stderr.isTTY = before.isTTY;
    Object.defineProperty(process, 'stdin', input);
    isRunning = false;
  }
}
