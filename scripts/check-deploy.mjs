// Tries the files of deploy/ with the programs that they are for, as far as those are installed, and runs what the Helm
// chart runs in pods as processes of this machine.
//
//   npm run check:deploy
//
// helm:             lints the chart, and renders it with its own values and with those of deploy/helm/coxswain/ci
// go:               builds scripts/kubernetes-objects, which decodes what was rendered as strictly as an API server does
// systemd-analyze:  verifies the unit
// promtool:         checks the configuration of Prometheus
// hadolint, docker: check Dockerfile and docker-compose.yml
// openssl:          makes the certificates for pods with TLS
//
// Without one of them it says what it leaves out. Exits with 1 when something is wrong.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LoopbackAddresses } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';

const READY_MS = 120_000;
const NAMESPACE = 'default';
/** A helm that was made by `go install` does not know which release it is made for. */
const TEMPLATE = ['template', '--kube-version', '1.30.0'];
const CONTAINER_PORTS = [8443, 8444, 5012, 8079];
const root = fileURLToPath(new URL('..', import.meta.url));
const chart = join(root, 'deploy/helm/coxswain');
const command = join(root, 'packages/cli/bin/coxswain.cjs');
const { parseAllDocuments } = createRequire(join(root, 'packages/server/package.json'))('yaml');

checkOptions('npm run check:deploy', {});

const directory = mkdtempSync(join(tmpdir(), 'coxswain-deploy-'));
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

let isAllRight = true;
function report(what, problem) {
  console.log(problem ? `${what}: FAILED\n${problem.trim()}` : `${what}: ok`);
  if (problem) isAllRight = false;
}

/** Runs a program; returns what it wrote when it failed, else nothing. */
function failure(program, args, options = {}) {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    cwd: root,
    ...options,
  });
  return error ? error.message : status === 0 ? undefined : `${stdout}${stderr}` || `exit code ${status}`;
}

const isInstalled = (program, ...args) => spawnSync(program, args).error === undefined;
const leaveOut = (what, program) => console.log(`${what}: left out, ${program} is not installed`);

function helm(...args) {
  const { error, status, stdout, stderr } = spawnSync('helm', args, { encoding: 'utf8', cwd: root });
  if (error || status !== 0) throw new Error(error?.message ?? stderr);
  return stdout;
}

// ---- files that programs check

if (isInstalled('systemd-analyze', '--version')) {
  const unit = join(directory, 'coxswain.service');
  const text = readFileSync(join(root, 'deploy/systemd/coxswain.service'), 'utf8');
  // The command need not be installed here.
  writeFileSync(unit, text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
  report('systemd unit', failure('systemd-analyze', ['verify', unit]));
} else leaveOut('systemd unit', 'systemd-analyze');

if (isInstalled('promtool', '--version')) {
  const text = readFileSync(join(root, 'deploy/prometheus/prometheus.yml'), 'utf8');
  const file = join(directory, 'prometheus.yml');
  writeFileSync(file, text.replace('/etc/prometheus/alerts.yml', join(root, 'deploy/prometheus/alerts.yml')));
  report('configuration of Prometheus', failure('promtool', ['check', 'config', file]));
} else leaveOut('configuration of Prometheus', 'promtool');

if (isInstalled('hadolint', '--version')) report('Dockerfile', failure('hadolint', ['Dockerfile']));
else leaveOut('Dockerfile', 'hadolint');

if (failure('docker', ['compose', 'version']) === undefined)
  report('docker-compose.yml', failure('docker', ['compose', 'config', '--quiet']));
else leaveOut('docker-compose.yml', 'the Compose plugin of docker');

// ---- the chart

if (!isInstalled('helm', 'version')) {
  leaveOut('Helm chart, and its pods', 'helm');
  process.exit(isAllRight ? 0 : 1);
}

/** Builds the program that decodes objects as an API server does; undefined where that cannot be done. */
function buildObjectsCheck() {
  if (!isInstalled('go', 'version')) {
    leaveOut('objects of Kubernetes', 'go');
    return undefined;
  }
  const program = join(directory, 'kubernetes-objects');
  const problem = failure('go', ['build', '-o', program, '.'], {
    cwd: join(root, 'scripts/kubernetes-objects'),
  });
  if (problem === undefined) return program;
  console.log(`objects of Kubernetes: left out, what decodes them cannot be built: ${problem.trim()}`);
  return undefined;
}

const objectsCheck = buildObjectsCheck();
const valuesFiles = [undefined, ...readdirSync(join(chart, 'ci')).map((name) => join(chart, 'ci', name))];
for (const file of valuesFiles) {
  const values = file ? ['--values', file] : [];
  const name = file ? file.slice(chart.length + 1) : 'values.yaml';
  report(`helm lint, ${name}`, failure('helm', ['lint', '--strict', chart, ...values]));
  let rendered;
  try {
    rendered = helm(...TEMPLATE, 'kv', chart, '--namespace', NAMESPACE, ...values);
  } catch (error) {
    report(`helm template, ${name}`, error.message);
    continue;
  }
  const documents = parseAllDocuments(rendered);
  report(
    `helm template, ${name}`,
    documents.flatMap(({ errors }) => errors.map(String)).join('\n') || undefined,
  );
  if (objectsCheck) report(`objects of Kubernetes, ${name}`, failure(objectsCheck, [], { input: rendered }));
}

for (const [what, args, text] of [
  ['a follower cluster without a leader cluster', ['--set', 'role=follower'], 'follower.leaderAddresses'],
  ['an even number of members', ['--set', 'replicas=4'], 'replicas'],
  ['an option that the chart decides', ['--set', 'config.data-dir=/data'], 'data-dir'],
  ['a value that there is not', ['--set', 'replica=3'], 'replica'],
]) {
  const problem = failure('helm', [...TEMPLATE, 'kv', chart, ...args]);
  report(
    `refuses ${what}`,
    problem?.includes(text) ? undefined : `helm template said: ${problem ?? 'nothing'}`,
  );
}

// ---- its pods, as processes

/** Writes down what it is called with. It has the place of the command in the shell of a pod. */
const stub = join(directory, 'bin', 'coxswain');
mkdirSync(join(directory, 'bin'));
writeFileSync(stub, `#!${process.execPath}\nconsole.log(JSON.stringify(process.argv.slice(2)));\n`, {
  mode: 0o755,
});

/** The pods of a release: what a kubelet would start, and with which files. */
function podsOf(release, args) {
  const objects = parseAllDocuments(helm(...TEMPLATE, release, chart, '--namespace', NAMESPACE, ...args)).map(
    (document) => document.toJS(),
  );
  const byKind = (kind) => objects.find((each) => each?.kind === kind);
  const { metadata, spec } = byKind('StatefulSet');
  const [container] = spec.template.spec.containers;
  return Array.from({ length: spec.replicas }, (_, ordinal) => {
    const name = `${metadata.name}-${ordinal}`;
    return {
      name,
      host: `${name}.${spec.serviceName}.${NAMESPACE}.svc.cluster.local`,
      container,
      config: byKind('ConfigMap').data['config.yaml'],
    };
  });
}

class Pod {
  #pod;
  #addresses;
  #files;
  #secrets;
  output = '';

  constructor(pod, addresses, secrets) {
    this.#pod = pod;
    this.#addresses = addresses;
    this.#secrets = secrets;
    this.#files = join(directory, pod.name);
  }

  start() {
    const { name, host, container, config } = this.#pod;
    const inPlace = (text) =>
      this.#addresses
        .replace(text, host)
        .replaceAll('/etc/coxswain', this.#files)
        .replaceAll('/var/lib/coxswain', this.#files);
    mkdirSync(join(this.#files, 'config'), { recursive: true });
    writeFileSync(join(this.#files, 'config/config.yaml'), inPlace(config));
    for (const { mountPath } of container.volumeMounts) {
      const [, kind] = /^\/etc\/coxswain\/(tls|tokens)\//.exec(mountPath) ?? [];
      if (!kind) continue;
      mkdirSync(inPlace(mountPath), { recursive: true });
      for (const [file, text] of Object.entries(this.#secrets[kind]))
        writeFileSync(join(inPlace(mountPath), file), text);
    }
    const variables = container.env.map(({ name: key, value }) => [
      key,
      value === undefined ? name : inPlace(value),
    ]);
    const env = {
      ...process.env,
      ...Object.fromEntries(variables),
      PATH: `${join(directory, 'bin')}:${process.env.PATH}`,
    };
    const [shell, ...flags] = container.command;
    const { status, stdout, stderr } = spawnSync(shell, [...flags, ...container.args], {
      encoding: 'utf8',
      env,
    });
    if (status !== 0) throw new Error(`${name}: the shell of its container fails: ${stderr}`);
    const child = spawn(process.execPath, [command, ...JSON.parse(stdout).map(inPlace)], { env });
    running.add(child);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (this.output += data));
    this.ended = new Promise((resolve) => child.once('close', resolve)).then(() => running.delete(child));
    this.child = child;
  }

  get endpoint() {
    return this.#addresses.of(this.#pod.host, 8443);
  }

  /** Waits until its readiness probe gets 200. */
  async ready() {
    const { path, scheme } = this.#pod.container.readinessProbe.httpGet;
    const request = scheme === 'HTTPS' ? requestHttps : requestHttp;
    const url = `${scheme.toLowerCase()}://${this.#addresses.of(this.#pod.host, 8079)}${path}`;
    const deadlineMs = performance.now() + READY_MS;
    let last = '';
    while (performance.now() < deadlineMs) {
      if (this.child.exitCode !== null) throw new Error(`${this.#pod.name} has ended: ${this.output}`);
      // As the kubelet does, without a look at the certificate.
      last = await new Promise((resolve) => {
        request(url, { rejectUnauthorized: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .once('error', (error) => resolve(error.message))
          .end();
      });
      if (last === 200) return;
      await sleep(200);
    }
    throw new Error(`${this.#pod.name} is not ready: ${last}: ${this.output}`);
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
  }
}

function coxswain(pod, flags, ...args) {
  const all = [command, ...args, '--endpoints', pod.endpoint, '--timeout', '60s', ...flags];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`coxswain ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** Starts the pods of some releases, waits until they are ready, writes at the last leader and reads everywhere. */
async function tryPods(what, releases, secrets = {}, flags = []) {
  const pods = [];
  try {
    const rendered = releases.flatMap(([release, args]) => podsOf(release, args));
    const hosts = rendered.map(({ host }) => host);
    const addresses = await LoopbackAddresses.find(hosts, CONTAINER_PORTS);
    for (const pod of rendered) pods.push(new Pod(pod, addresses, secrets));
    for (const pod of pods) pod.start();
    for (const pod of pods) await pod.ready();
    coxswain(pods[0], flags, 'put', 'key', 'value');
    for (const pod of pods) {
      const deadlineMs = performance.now() + READY_MS;
      while (!coxswain(pod, flags, 'range', 'key').includes('value')) {
        if (performance.now() > deadlineMs) throw new Error(`${pod.endpoint} does not have what was written`);
        await sleep(200);
      }
    }
    report(what);
  } catch (error) {
    report(what, error.message);
  } finally {
    await Promise.all(pods.filter(({ child }) => child).map((pod) => pod.stop()));
  }
}

const followed = [0, 1, 2].map((ordinal) => `kv-${ordinal}.kv-peers.${NAMESPACE}.svc.cluster.local:8444`);
await tryPods('pods of a leader and a follower cluster become ready, and serve what is written', [
  ['kv', ['--set', 'fullnameOverride=kv', '--set', 'replication.enabled=true']],
  [
    'copy',
    [
      '--values',
      join(chart, 'ci/follower.yaml'),
      '--set',
      'fullnameOverride=copy',
      '--set-json',
      `follower.leaderAddresses=${JSON.stringify(followed)}`,
    ],
  ],
]);

if (isInstalled('openssl', 'version')) {
  const run = (...args) => {
    const problem = failure('openssl', args, { cwd: directory });
    if (problem) throw new Error(`openssl: ${problem}`);
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  run('req', '-x509', ...key, '-days', '30', '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=authority');
  run('req', ...key, '-keyout', 'tls.key', '-out', 'tls.csr', '-subj', '/CN=pod');
  writeFileSync(join(directory, 'names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const signing = [
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    '30',
    '-extfile',
    'names',
  ];
  run('x509', '-req', '-in', 'tls.csr', ...signing, '-out', 'tls.crt');
  const files = ['ca.crt', 'tls.crt', 'tls.key'];
  const tls = Object.fromEntries(files.map((file) => [file, readFileSync(join(directory, file), 'utf8')]));
  const path = (file) => join(directory, file);
  await tryPods(
    'pods with certificates and tokens become ready, and serve what is written',
    [['kv', ['--values', join(chart, 'ci/secured.yaml'), '--set', 'archive.target=']]],
    { tls, tokens: { token: 'a-token\n' } },
    ['--cacert', path('ca.crt'), '--cert', path('tls.crt'), '--key', path('tls.key')],
  );
} else leaveOut('pods with certificates', 'openssl');

process.exit(isAllRight ? 0 : 1);
