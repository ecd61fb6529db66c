// Shows that the two commands work for a newcomer: clones HEAD into a temporary directory and, with an empty
// home and empty caches, runs `npm start`, a few `npx coxswain` commands and `npm test`, under each of the
// given Node versions (20, 22 and 24 by default): `node scripts/check-fresh-clone.mjs 22 24`.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PORT_OFFSET = 23_000;
const endpoints = [8443, 8543, 8643].map((port) => `127.0.0.1:${port + PORT_OFFSET}`).join(',');

function run(command, args, options) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (error) throw error;
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} exited with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** The `node` package of the registry holds the binaries of every release. */
function installNode(version, directory) {
  mkdirSync(directory);
  run('npm', ['install', '--prefix', directory, '--no-save', `node@${version}`], { cwd: directory });
  return join(directory, 'node_modules', 'node', 'bin');
}

/** What still runs when a check fails must not outlive it. */
const children = new Set();
process.on('exit', () => {
  for (const child of children) {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch (error) {
      // It has ended by itself.
      if (error.code !== 'ESRCH') throw error;
    }
  }
});

async function startUntilReady(clone, env) {
  const child = spawn('npm', ['start', '--', '--port-offset', String(PORT_OFFSET)], {
    cwd: clone,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('ready')) {
        child.stdout.resume();
        return;
      }
    }
    throw new Error(`npm start ended before it was ready: ${await exited}`);
  })();
  await ready;
  return async (signal) => {
    children.delete(child);
    // A terminal's Ctrl-C reaches every process of the group; a supervisor's SIGTERM only npm.
    process.kill(signal === 'SIGINT' ? -child.pid : child.pid, signal);
    const outcome = await exited;
    if (outcome !== 0) throw new Error(`npm start ended with ${outcome} on ${signal}`);
  };
}

async function timed(what, action) {
  const startedMs = performance.now();
  const result = await action();
  console.log(`  ${what}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  return result;
}

async function check(version) {
  const scratch = mkdtempSync(join(tmpdir(), 'coxswain-fresh-clone-'));
  try {
    const nodeBin = installNode(version, join(scratch, 'node'));
    const home = join(scratch, 'home');
    mkdirSync(home);
    const clone = join(scratch, 'clone');
    run('git', ['clone', '--quiet', '--no-local', root, clone]);
    const env = {
      ...process.env,
      PATH: `${nodeBin}${delimiter}${process.env.PATH}`,
      HOME: home,
      XDG_CACHE_HOME: join(home, 'cache'),
      XDG_DATA_HOME: join(home, 'data'),
      npm_config_cache: join(home, 'npm-cache'),
    };
    console.log(`Node ${run('node', ['--version'], { env }).trim()}`);
    const coxswain = (...args) =>
      run('npx', ['coxswain', ...args, '--endpoints', endpoints], { cwd: clone, env });

    const stop = await timed('npm start until ready, empty caches', () => startUntilReady(clone, env));
    await timed('put, get, range, status', () => {
      coxswain('put', 'greeting', 'hello');
      if (!coxswain('get', 'greeting').includes('hello')) throw new Error('get did not return what was put');
      if (!coxswain('range', 'greet', '--prefix').includes('greeting')) throw new Error('range missed a key');
      coxswain('status');
    });
    await timed('SIGINT', () => stop('SIGINT'));
    const stopAgain = await timed('npm start again on the same data', () => startUntilReady(clone, env));
    if (!coxswain('get', 'greeting').includes('hello')) throw new Error('the data did not survive a restart');
    await timed('SIGTERM', () => stopAgain('SIGTERM'));
    await timed('npm test', () => run('npm', ['test'], { cwd: clone, env }));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const versions = process.argv.slice(2);
for (const version of versions.length > 0 ? versions : ['20', '22', '24']) await check(version);
