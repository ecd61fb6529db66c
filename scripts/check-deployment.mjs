// Checks Dockerfile, docker-compose.yml and deploy/ as far as that takes no other program than Node: that they parse, that
// every option, address, path and port that they name is one of the server, and that they agree with each other. Prints
// what is wrong, one line each, and exits 1. `npm run check:deploy` goes further where helm, kubeconform and others are.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environmentNames } from '../packages/server/dist/src/config/config.js';
import { configOptions } from '../packages/server/dist/src/config/config-schema.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const ofServer = createRequire(join(root, 'packages/server/package.json'));
const { parseDocument, parse } = ofServer('yaml');
const { default: Ajv } = ofServer('ajv');

const CHART = 'deploy/helm/coxswain';
const LISTENERS = ['api', 'raft', 'replication', 'rest'];
const SECRET_TOKENS = ['maintenance', 'tables', 'rest'];

const read = (path) => readFileSync(join(root, path), 'utf8');
const files = execFileSync(
  'git',
  [
    'ls-files',
    '-z',
    '--cached',
    '--others',
    '--exclude-standard',
    'deploy',
    'Dockerfile',
    'docker-compose.yml',
  ],
  { cwd: root, encoding: 'utf8' },
)
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(root, file)));
const isTemplate = (file) => file.startsWith(`${CHART}/templates/`);
const isYaml = (file) => /[.]ya?ml([.]example)?$/.test(file);

const optionNames = new Set(
  configOptions.filter(({ isMeaningless }) => !isMeaningless).map(({ name }) => name),
);
const variables = new Set(
  configOptions.flatMap((option) => {
    const [own] = environmentNames(option);
    return option.kind === 'secret' ? [own, `${own}_FILE`] : [own];
  }),
);

function* checkYaml() {
  for (const file of files.filter((each) => isYaml(each) && !isTemplate(each))) {
    const { errors, warnings } = parseDocument(read(file), { merge: true });
    for (const { message } of [...errors, ...warnings]) yield `${file}: ${message.split('\n')[0]}`;
  }
}

/** Prints problems, each once, and ends the process when there are any. */
function report(problems) {
  for (const problem of new Set(problems)) console.error(problem);
  if (problems.length > 0) process.exit(1);
}

// What follows reads these files.
report([...checkYaml()]);

/** What is laid over the chart's values, as helm does it. */
function laidOver(values, more) {
  if (!isMap(values) || !isMap(more)) return more;
  const all = Object.entries(more).map(([key, value]) => [key, laidOver(values[key], value)]);
  return { ...values, ...Object.fromEntries(all) };
}

const isMap = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function* checkSchema(file, schema, data) {
  const ajv = new Ajv({ allErrors: true, strict: false });
  if (ajv.validate(schema, data)) return;
  for (const { instancePath, message, params } of ajv.errors)
    yield `${file}: ${instancePath || '/'} ${message} ${JSON.stringify(params)}`;
}

function* checkValues() {
  const schema = JSON.parse(read(`${CHART}/values.schema.json`));
  const values = parse(read(`${CHART}/values.yaml`));
  yield* checkSchema(`${CHART}/values.yaml`, schema, values);
  for (const file of files.filter((each) => each.startsWith(`${CHART}/ci/`)))
    yield* checkSchema(file, schema, laidOver(values, parse(read(file))));
  for (const name of schema.properties.config.propertyNames.not.enum)
    if (!optionNames.has(name)) yield `${CHART}/values.schema.json: there is no option ${name}`;
  for (const match of templates().matchAll(/[.]Values((?:[.][a-zA-Z]+)+)/g)) {
    const path = match[1].slice(1).split('.');
    if (!isValue(values, path)) yield `${CHART}/templates: values.yaml has no ${path.join('.')}`;
  }
}

function isValue(values, [name, ...path]) {
  if (!isMap(values) || !Object.hasOwn(values, name)) return false;
  return path.length === 0 || isValue(values[name], path);
}

function templates() {
  return files.filter(isTemplate).map(read).join('\n');
}

/** Each `if`, `range`, `with` and `define` of a template has its `end`. */
function* checkBlocks() {
  for (const file of files.filter(isTemplate)) {
    const text = read(file).replaceAll(/\{\{-?\s*\/\*.*?\*\/\s*-?\}\}/gs, '');
    if (text.split('{{').length !== text.split('}}').length) yield `${file}: braces do not match`;
    let open = 0;
    for (const [, word] of text.matchAll(/\{\{-?\s*(if|range|with|define|end)\b/g))
      open += word === 'end' ? -1 : 1;
    if (open !== 0) yield `${file}: ${open} blocks have no end`;
  }
}

/** Every name of an option, however it is given, is one of the server. */
function* checkOptions() {
  const groups = [
    ...new Set([...optionNames].filter((name) => name.includes('.')).map((name) => name.split('.')[0])),
  ];
  const dotted = new RegExp(
    `(?<![\\w.$/-])(?:--)?((?:${groups.join('|')})[.][a-z0-9-]+)(?![\\w-]|[.]\\w)`,
    'g',
  );
  for (const file of files) {
    if (file.endsWith('.json')) continue;
    const text = read(file)
      .replaceAll(/.*COXSWAIN_\{\{ upper \$option \}\}.*/g, (line) =>
        each(line, SECRET_TOKENS, (name) => name.toUpperCase()),
      )
      .replaceAll(/.*\{\{ \$listener \}\}[.].*/g, (line) => each(line, LISTENERS, (name) => name));
    for (const [, name] of text.matchAll(dotted))
      if (!optionNames.has(name) && !isAbsent(name)) yield `${file}: there is no option ${name}`;
    for (const [, name] of text.matchAll(/(?<![\w])(COXSWAIN_[A-Z0-9_]+)/g))
      if (!variables.has(name)) yield `${file}: there is no environment name ${name}`;
    // A command goes on in the next line after a backslash.
    for (const [line] of text.matchAll(
      /\bcoxswain (?:leader|follower|\{\{|\$\{NODE_ROLE\}).*(?:(?<=\\)\n.*)*/g,
    ))
      for (const [, name] of line.matchAll(/(?<!\S)--([a-z][a-z0-9.-]*)/g))
        if (name !== 'config' && !optionNames.has(name)) yield `${file}: there is no flag --${name}`;
  }
  const configurations = files.filter((file) => /\/config[.]yaml([.]example)?$/.test(file));
  const texts = configurations.map((file) => [file, parse(read(file))]);
  const chart = files.filter((file) => file.startsWith(`${CHART}/ci/`) || file === `${CHART}/values.yaml`);
  for (const file of chart) texts.push([file, parse(read(file)).config ?? {}]);
  for (const [file, options] of texts)
    for (const name of Object.keys(options))
      if (!optionNames.has(name)) yield `${file}: there is no option ${name}`;
}

/** Raft's listener alone asks for no choice of who must show a certificate: all nodes must. */
const isAbsent = (name) => name === 'raft.client-cert-auth';

const each = (line, names, form) =>
  names.map((name) => line.replaceAll(/\{\{ (?:upper \$option|\$listener) \}\}/g, form(name))).join('\n');

const compose = parse(read('docker-compose.yml'), { merge: true });
const dockerfile = read('Dockerfile');
const nodes = Object.entries(compose.services).filter(([, { build }]) => build);

function* checkCompose() {
  yield* checkSchema('docker-compose.yml', JSON.parse(read('scripts/compose.schema.json')), compose);
  const published = Object.values(compose.services).flatMap(({ ports = [] }) =>
    ports.map((port) => port.split(':')[1]),
  );
  for (const port of published)
    if (published.indexOf(port) !== published.lastIndexOf(port))
      yield `docker-compose.yml: port ${port} is published twice`;
  for (const [name, { command, depends_on = [], volumes = [], environment = {} }] of Object.entries(
    compose.services,
  )) {
    for (const other of depends_on)
      if (!compose.services[other])
        yield `docker-compose.yml: ${name} depends on ${other}, which is no service`;
    for (const source of volumes.map((volume) => volume.split(':')[0])) {
      if (source.startsWith('.') ? !existsSync(join(root, source)) : !Object.hasOwn(compose.volumes, source))
        yield `docker-compose.yml: ${name} mounts ${source}, which is not there`;
    }
    if (!command) continue;
    const address = /--raft[.]address=(\S+)/.exec(command)?.[1];
    const id = /--raft[.]node-id=(\d+)/.exec(command)?.[1];
    const members = environment.COXSWAIN_RAFT_INITIAL_MEMBERS?.split(',') ?? [`${id}=${name}:5012`];
    if (address !== `${name}:5012` || !members.includes(`${id}=${address}`))
      yield `docker-compose.yml: ${name} is not the member ${id}=${address} of ${members.join(',')}`;
  }
}

/** The ports of the image are those that its configuration opens, and no file names another one. */
function* checkPorts() {
  const exposed = /^EXPOSE (.*)$/m.exec(dockerfile)[1].split(' ').sort().join();
  const opened = Object.values(parse(read('deploy/container/config.yaml')))
    .map((address) => /:(\d+)$/.exec(address)[1])
    .sort()
    .join();
  if (exposed !== opened)
    yield `Dockerfile: exposes ${exposed}, and deploy/container/config.yaml opens ${opened}`;
  const text = templates();
  const portOf = Object.fromEntries(
    [...text.matchAll(/\{ name: (\w+), containerPort: (\d+) \}/g)].map(([, name, port]) => [name, port]),
  );
  if (Object.values(portOf).sort().join() !== exposed)
    yield `${CHART}/templates: container ports ${Object.values(portOf).join()}, and the image exposes ${exposed}`;
  for (const [, name, port, target] of text.matchAll(/\{ name: (\w+), port: (\d+), targetPort: (\w+) \}/g))
    if (name !== target || portOf[name] !== port)
      yield `${CHART}/templates: ${name} at port ${port} leads to ${target}`;
  for (const [, listener, port] of text.matchAll(
    /^ +(api|raft|replication|rest)[.](?:listen-)?address: .*:(\d+)/gm,
  ))
    if (portOf[listener] !== port)
      yield `${CHART}/templates: ${listener} listens at ${port}, not at ${portOf[listener]}`;
  for (const [, name] of text.matchAll(/\bport: (\w+)[ ,}]/g))
    if (!/^\d+$/.test(name) && !portOf[name]) yield `${CHART}/templates: there is no port ${name}`;
  for (const [name, { ports = [] }] of nodes)
    for (const port of ports.map((entry) => entry.split(':')[2]))
      if (!exposed.split(',').includes(port))
        yield `docker-compose.yml: ${name} publishes ${port}, which nobody opens`;
  for (const { job_name, static_configs } of parse(read('deploy/prometheus/prometheus.yml')).scrape_configs)
    for (const target of static_configs.flatMap(({ targets }) => targets)) {
      const [host, port] = target.split(':');
      if (!nodes.some(([name]) => name === host) || port !== portOf.rest)
        yield `deploy/prometheus/prometheus.yml: ${job_name} asks ${target}, where no node serves metrics`;
    }
}

/** An image that may be another one tomorrow is none that was tried today. */
function* checkImages() {
  const isPinned = (image) => /:v?\d+[.]\d+[.]\d+(-[a-z0-9.-]+)?(@sha256:[0-9a-f]{64})?$/.test(image);
  const built = dockerfile.replaceAll(/\$\{NODE_IMAGE\}/g, /^ARG NODE_IMAGE=(.*)$/m.exec(dockerfile)?.[1]);
  for (const [, image] of built.matchAll(/^FROM (\S+)/gm))
    if (!isPinned(image)) yield `Dockerfile: ${image} is no exact version`;
  for (const [name, { image, build }] of Object.entries(compose.services))
    if (!build && !isPinned(image)) yield `docker-compose.yml: ${name}: ${image} is no exact version`;
  const { version } = JSON.parse(read('packages/cli/package.json'));
  const { appVersion } = parse(read(`${CHART}/Chart.yaml`));
  if (appVersion !== version)
    yield `${CHART}/Chart.yaml: appVersion ${appVersion}, and the command is ${version}`;
}

function* checkPaths() {
  const served = new Set(
    [...read('packages/server/src/rest/admin-api.ts').matchAll(/'(\/[a-z]+)'/g)].map(([, path]) => path),
  );
  const asked = [
    ...[...templates().matchAll(/httpGet: \{ path: (\S+),/g)].map(([, path]) => [`${CHART}/templates`, path]),
    ...[...templates().matchAll(/^ +path: (\/\S+)$/gm)].map(([, path]) => [`${CHART}/templates`, path]),
    ...[...dockerfile.matchAll(/fetch\('http:\/\/[^/]+(\/[^']*)'/g)].map(([, path]) => ['Dockerfile', path]),
  ];
  if (asked.length < 5) yield `Dockerfile, ${CHART}: ${asked.length} probes and scrapes were found, not 5`;
  for (const [file, path] of asked)
    if (!served.has(path)) yield `${file}: the REST listener serves no ${path}`;
}

function* checkDockerfile() {
  const known =
    /^(ARG|FROM|WORKDIR|COPY|RUN|LABEL|ENV|USER|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD) \S/;
  const lines = dockerfile
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, '')
    .split('\n');
  for (const line of lines) if (line !== '' && !known.test(line)) yield `Dockerfile: ${line}: no instruction`;
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM')));
  for (const instruction of ['HEALTHCHECK', 'VOLUME', 'USER', 'ENTRYPOINT', 'STOPSIGNAL'])
    if (!last.some((line) => line.startsWith(instruction)))
      yield `Dockerfile: the image has no ${instruction}`;
  if (last.findLast((line) => line.startsWith('USER')) !== 'USER node')
    yield 'Dockerfile: nodes do not run as node';
  const [, directory] = /COXSWAIN_DATA_DIR=(\S+)/.exec(dockerfile) ?? [];
  if (!last.includes(`VOLUME ${directory}`)) yield `Dockerfile: the data directory ${directory} is no volume`;
  for (const line of lines.filter((each) => /^COPY (?!--from)/.test(each)))
    for (const source of line.split(' ').slice(1, -1))
      if (!existsSync(join(root, source))) yield `Dockerfile: ${source} is not there`;
  for (const line of last.filter((each) => /^(HEALTHCHECK|ENTRYPOINT|CMD)/.test(each))) {
    try {
      JSON.parse(line.slice(line.indexOf('[')));
    } catch {
      yield `Dockerfile: ${line}: not in the form of a JSON array, which takes no shell`;
    }
  }
}

function* checkUnits() {
  for (const file of files.filter(
    (each) => each.startsWith('deploy/systemd/') && /[.](service|env[.]example)$/.test(each),
  )) {
    for (const [index, line] of read(file).split('\n').entries())
      if (!/^(#.*|\[[A-Z]\w+\]|[A-Z][A-Za-z_0-9]*=.*|)$/.test(line)) yield `${file}:${index + 1}: ${line}`;
  }
  const unit = read('deploy/systemd/coxswain.service');
  for (const setting of [
    'User=coxswain',
    'ProtectSystem=strict',
    'StateDirectory=coxswain',
    'NoNewPrivileges=true',
  ])
    if (!unit.split('\n').includes(setting)) yield `deploy/systemd/coxswain.service: has no ${setting}`;
}

/** Files that a file of systemd or Grafana names beside itself, and dashboards where Grafana looks for them. */
function* checkMounts() {
  const provider = parse(read('deploy/grafana/provisioning/dashboards/coxswain.yaml')).providers[0].options
    .path;
  const mounted = compose.services.grafana.volumes.map((volume) => volume.split(':'));
  const source = mounted.find(([, target]) => target === provider)?.[0];
  if (source !== './deploy/grafana/dashboards')
    yield `deploy/grafana/provisioning: no dashboards are at ${provider}`;
  const rules = parse(read('deploy/prometheus/prometheus.yml')).rule_files;
  for (const rule of rules)
    if (
      !compose.services.prometheus.volumes.some(
        (volume) => volume.split(':')[1] === rule && volume.includes(basename(rule)),
      )
    )
      yield `deploy/prometheus/prometheus.yml: nothing is mounted at ${rule}`;
}

const problems = [];
for (const check of [
  checkValues,
  checkBlocks,
  checkOptions,
  checkCompose,
  checkPorts,
  checkImages,
  checkPaths,
  checkDockerfile,
  checkUnits,
  checkMounts,
])
  problems.push(...check());
report(problems);
