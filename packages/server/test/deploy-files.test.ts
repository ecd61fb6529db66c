import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { regatta } from '@coxswain/protocol';
import { TemporaryDirectory, until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { Authority } from './support/certificates.js';
import { OneNode } from './support/one-node.js';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const alertsFile = join(root, 'deploy/prometheus/alerts.yml');
const dashboardsDirectory = join(root, 'deploy/grafana/dashboards');
const PROMTOOL = '/usr/bin/promtool';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}
interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
}

const alerts = (parse(readFileSync(alertsFile, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  ({ rules }) => rules,
);
const dashboards = readdirSync(dashboardsDirectory).map(
  (name) => JSON.parse(readFileSync(join(dashboardsDirectory, name), 'utf8')) as Dashboard,
);
const panelQueries = dashboards.flatMap(({ uid, panels }) =>
  panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ where: `${uid}: ${title}`, expr, legendFormat })),
  ),
);
const queries = [
  ...alerts.map(({ alert, expr }) => ({ where: alert, expr })),
  ...panelQueries,
  ...dashboards.flatMap(({ uid, templating }) =>
    templating.list.flatMap(({ definition }) =>
      definition === undefined ? [] : [{ where: `${uid}: variables`, expr: definition }],
    ),
  ),
];

/** Words of PromQL that are no metric and no label. `label_values` is Grafana's. */
const functions = new Set([
  ...['sum', 'max', 'min', 'count', 'topk', 'rate', 'increase', 'deriv', 'abs', 'vector', 'label_values'],
  ...['histogram_quantile', 'last_over_time'],
]);
const keywords = new Set(['by', 'on', 'and', 'or', 'bool']);
/** Prometheus adds these to what it scrapes. */
const scraped = ['job', 'instance'];

/** The metrics that a query reads, each with the labels that it is asked for; and the labels of groupings. */
function namesOf(expr: string): { metrics: Map<string, Set<string>>; grouped: Set<string> } {
  const metrics = new Map<string, Set<string>>();
  const grouped = new Set<string>();
  const plain = expr
    // Durations are neither names nor labels, and texts may hold anything.
    .replace(/\[[^\]]*\]/gu, '')
    .replace(/"[^"]*"/gu, '""')
    .replace(/label_values\((\w+)(\{[^}]*\})?, (\w+)\)/gu, 'label_values($1$2) by ($3)')
    .replace(/\b(?:by|on)\s*\(([^)]*)\)/gu, (_all, names: string) => {
      for (const name of names.split(',')) grouped.add(name.trim());
      return '';
    });
  for (const [, name, matchers = ''] of plain.matchAll(/\b([a-z_]\w*)\b(?:\{([^}]*)\})?(?![^{}]*\})/giu)) {
    if (functions.has(name!) || keywords.has(name!)) continue;
    const labels = metrics.get(name!) ?? new Set();
    for (const [, label] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/gu)) labels.add(label!);
    metrics.set(name!, labels);
  }
  return { metrics, grouped };
}

/** The labels of each series on a page of metrics, by name. */
function seriesOf(pages: readonly string[]): Map<string, Set<string>> {
  const series = new Map<string, Set<string>>();
  for (const page of pages) {
    for (const [, name, labels = ''] of page.matchAll(/^([a-z_]\w*)(?:\{(.*)\})? \S+$/gmu)) {
      const known = series.get(name!) ?? new Set(scraped);
      for (const [, label] of labels.matchAll(/(\w+)="/gu)) known.add(label!);
      series.set(name!, known);
    }
  }
  return series;
}

describe('alerts and dashboards', () => {
  const directory = new TemporaryDirectory();
  const nodes: OneNode[] = [];
  let authority: Authority;
  let series: Map<string, Set<string>>;

  beforeAll(async () => {
    authority = await Authority.create('deploy');
    const { certFile, keyFile } = await authority.issue('node');
    const leader = await OneNode.start({
      'replication.enabled': 'true',
      'replication.address': 'https://127.0.0.1:0',
      'replication.cert-filename': certFile,
      'replication.key-filename': keyFile,
      'archive.target': pathToFileURL(directory.path).href,
      'archive.object-age': '50ms',
      'tables.names': 'table',
    });
    nodes.push(leader);
    const rpc = leader.rpc();
    await rpc.call(regatta.KVService.put, {
      table: Buffer.from('table'),
      key: Buffer.from('key'),
      value: Buffer.from('value'),
    });
    rpc.close();
    const follower = await OneNode.start(
      {
        'replication.leader-address': leader.server.replicationUrl,
        'replication.insecure-skip-verify': 'true',
      },
      { role: 'follower' },
    );
    nodes.push(follower);
    await until('the follower cluster has its lag, and the leader cluster knows it', async () => {
      series = seriesOf(await Promise.all(nodes.map(async (node) => (await node.get('/metrics')).text)));
      return (
        series.has('coxswain_replication_lag_seconds') &&
        series.has('coxswain_follower_lag_entries') &&
        series.has('coxswain_archive_failing')
      );
    });
    // Prometheus makes these itself.
    series.set('up', new Set(scraped));
    // There is no other member to be connected to.
    series.set('coxswain_peer_connected', new Set([...scraped, 'peer']));
  });

  afterAll(async () => {
    for (const node of nodes.reverse()) await node.stop();
    authority.remove();
    directory.remove();
  });

  test('every metric and label that they name is on the page of a real node', () => {
    const missing: string[] = [];
    for (const { where, expr } of queries) {
      const { metrics, grouped } = namesOf(expr);
      const all = new Set(['le', ...scraped]);
      expect(metrics.size).toBeGreaterThan(0);
      for (const [name, labels] of metrics) {
        const known = series.get(name);
        if (known === undefined) missing.push(`${where}: ${name}`);
        for (const label of known ?? []) all.add(label);
        for (const label of labels) if (!known?.has(label)) missing.push(`${where}: ${name}{${label}}`);
      }
      for (const label of grouped) if (!all.has(label)) missing.push(`${where}: by ${label}`);
    }
    expect(missing).toEqual([]);
  });

  test('every label in the legend of a panel is one of its series', () => {
    const missing = panelQueries.flatMap(({ where, expr, legendFormat }) => {
      const { metrics } = namesOf(expr);
      const known = [...metrics.keys()].flatMap((name) => [...(series.get(name) ?? [])]);
      return [...legendFormat.matchAll(/\{\{(\w+)\}\}/gu)]
        .filter(([, label]) => !known.includes(label!))
        .map(([, label]) => `${where}: ${label}`);
    });
    expect(missing).toEqual([]);
  });
});

test('each alert has a severity, a summary, a description, and a section that says what to do', () => {
  const operations = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const section = operations.slice(operations.indexOf('\n## Alerts\n'));
  const headings = [...section.matchAll(/^### (\w+)$/gmu)].map(([, name]) => name!);
  expect(alerts.map(({ alert }) => alert).sort()).toEqual([...headings].sort());
  expect(new Set(headings).size).toBe(headings.length);
  for (const { alert, labels, annotations } of alerts) {
    expect(labels.severity).toMatch(/^(?:critical|warning)$/u);
    expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`);
    expect(annotations.summary).toBeTruthy();
    expect(annotations.description).toMatch(/\.$/u);
  }
});

test('promtool takes the alerts, and the queries of all panels', () => {
  if (!existsSync(PROMTOOL)) {
    console.log(`left out: ${PROMTOOL} is not installed, which checks the rules`);
    return;
  }
  const directory = new TemporaryDirectory();
  const rules = panelQueries.map(({ expr }, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll('$__rate_interval', '5m'),
  }));
  const panelsFile = join(directory.path, 'panels.json');
  // JSON is YAML.
  writeFileSync(panelsFile, JSON.stringify({ groups: [{ name: 'panels', rules }] }));
  const { status, stdout, stderr } = spawnSync(PROMTOOL, ['check', 'rules', alertsFile, panelsFile], {
    encoding: 'utf8',
  });
  directory.remove();
  expect({ status, said: stdout + stderr }).toEqual({
    status: 0,
    said: expect.stringContaining(`SUCCESS: ${rules.length} rules found`),
  });
});
