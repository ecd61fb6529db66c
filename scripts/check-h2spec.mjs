// Runs h2spec, the conformance tests for HTTP/2 servers, against the listeners of one real node that speak it: API and
// replication. (The REST listener speaks HTTP/1.1 alone, the raft listener neither.) Fails when a case fails that
// `h2spec-expected.json` does not have, and when one that it has passes, or is no case of h2spec: the list stays true.
//
//   node scripts/check-h2spec.mjs
//
// H2SPEC names the binary; otherwise `h2spec` on the PATH is run, or Go builds it in a temporary directory. Where there is
// none of them, nothing is checked.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProcessCluster } from '../bench/dist/src/faults/process-cluster.js';

const MODULE = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';
/** Of one case, in seconds: a busy machine is slow to answer. */
const CASE_TIMEOUT_SECONDS = '5';
const RUN_TIMEOUT_MS = 600_000;
/**
 * h2spec judges the first frame that comes. Where the answer to a request, or a PING, comes before the error that it
 * waits for, the case fails, so one that ends otherwise than expected is run again, this often in all.
 */
const TRIES_MAX = 5;

/** The path of h2spec; undefined where it can be neither found nor built. */
function findH2spec() {
  if (process.env.H2SPEC) return process.env.H2SPEC;
  if (spawnSync('h2spec', ['--version']).status === 0) return 'h2spec';
  if (spawnSync('go', ['version']).status !== 0) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'coxswain-h2spec-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
  const { status, stderr } = spawnSync('go', ['install', MODULE], {
    encoding: 'utf8',
    env: { ...process.env, GOBIN: directory, GOFLAGS: '-modcacherw' },
  });
  if (status !== 0) throw new Error(`go install ${MODULE}: ${stderr.trim()}`);
  return join(directory, 'h2spec');
}

/** The cases of a run in order, each with its name (as in `http2/5.1/3`) and what it says where it failed. */
function run(address, ...only) {
  const [host, port] = address.split(':');
  const { error, stdout, stderr } = spawnSync(
    h2spec,
    ['-h', host, '-p', port, '-o', CASE_TIMEOUT_SECONDS, ...only],
    { encoding: 'utf8', timeout: RUN_TIMEOUT_MS, maxBuffer: 1 << 26 },
  );
  if (error) throw new Error(`${h2spec}: ${error.message}`);
  const cases = parse(stdout);
  if (cases.length === 0) throw new Error(`h2spec ran no case: ${stdout.slice(-500)}${stderr.slice(-500)}`);
  return cases;
}

function parse(output) {
  const cases = [];
  let suite = '';
  let section = '';
  for (const coloured of output.split('\n')) {
    const line = stripColours(coloured);
    if (line.startsWith('Failures:')) break;
    if (line.startsWith('Generic tests')) suite = 'generic';
    else if (line.startsWith('Hypertext Transfer Protocol')) suite = 'http2';
    else if (line.startsWith('HPACK')) suite = 'hpack';
    const heading = /^ +(\d+(?:\.\d+)*)\. \S/u.exec(line);
    if (heading) section = heading[1];
    const found = /^ +([✔×]|✓|✗)? ?(\d+): (.*)$/u.exec(line);
    if (found)
      cases.push({ name: `${suite}/${section}/${found[2]}`, text: found[3], hasFailed: false, line });
    if (found && (found[1] === '×' || found[1] === '✗')) cases.at(-1).hasFailed = true;
  }
  return cases;
}

function stripColours(line) {
  return line
    .replace(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'gu'), '')
    .replace(/^.*\r(?=.)/u, '');
}

/** Compares with what is expected to fail, and gives whether that did, and nothing else. */
function judge(listener, address, expected) {
  const cases = run(address);
  const failed = cases.filter(({ hasFailed }) => hasFailed);
  const unexpected = failed.filter(
    ({ name }) => expected[name] === undefined && endsAgain(address, name, true),
  );
  console.log(
    `${listener}: ${cases.length} cases, ${failed.length} failed, ${unexpected.length} of them not expected`,
  );
  for (const { name, text } of unexpected) console.log(`  FAILED ${name}: ${text}`);
  const stale = Object.keys(expected).filter((name) => {
    const found = cases.find((one) => one.name === name);
    return found === undefined || (!found.hasFailed && endsAgain(address, name, false));
  });
  for (const name of stale) {
    const why = cases.some((one) => one.name === name) ? 'PASSES by now' : 'UNKNOWN to h2spec';
    console.log(`  ${why}: ${name}: take it from h2spec-expected.json`);
  }
  return unexpected.length + stale.length === 0;
}

/** Whether the case ends so, `hasFailed`, every time. */
function endsAgain(address, name, hasFailed) {
  for (let tries = 1; tries < TRIES_MAX; tries++) {
    if (run(address, name).some((one) => one.name === name && one.hasFailed !== hasFailed)) return false;
  }
  return true;
}

/** Gives the exit code. */
async function check() {
  if (h2spec === undefined) {
    console.log(
      'Nothing was checked: H2SPEC names no binary, and neither h2spec nor Go, which would build it, is there.',
    );
    return 0;
  }
  const expected = JSON.parse(readFileSync(new URL('h2spec-expected.json', import.meta.url), 'utf8'));
  const cluster = await ProcessCluster.start(1);
  let isGood = true;
  try {
    const { address, replicationAddress } = cluster.nodes[0];
    for (const [listener, target] of [
      ['api', address],
      ['replication', replicationAddress],
    ]) {
      isGood = judge(listener, target, expected[listener]) && isGood;
    }
  } finally {
    await cluster.dispose();
  }
  return isGood ? 0 : 1;
}

const h2spec = findH2spec();
process.exitCode = await check();
