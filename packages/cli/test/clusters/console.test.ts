import { readFileSync } from 'node:fs';
import { findBarriers, focused, shownTheme } from '@coxswain/console/testing';
import { eventually } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { startBrowser, WatchedTab } from '../support/browser.js';
import { NodeCommand } from '../support/command.js';
import { Cluster, type ClusterNode } from './cluster.js';

const TOKEN = 'of the operator';
/** A change must be on the page so soon after the node that it asks knows of it. */
const SHOWN_MS_MAX = 2_000;
/** Only keeps a page that hangs from hanging for ever. */
const HANGS_MS = 60_000;
/** What every page must show, by its address. */
const pages = [
  ['/', 'Overview'],
  ['/tables', 'Tables'],
  ['/tables/orders', 'orders'],
  ['/data/orders', 'Data'],
  ['/txn', 'Transaction'],
  ['/replication', 'Replication'],
  ['/archive', 'Backups'],
  ['/events', 'Events'],
  ['/node', 'node-1'],
] as const;

/** Undefined where none is installed: then the tests have nothing to look with, and say so. */
let browser: Browser | undefined;
let cluster: Cluster;
let tab: WatchedTab | undefined;

beforeAll(async () => {
  browser = await startBrowser();
  if (browser === undefined) return;
  cluster = await Cluster.ready({
    role: 'leader',
    nodes: 3,
    tables: ['default', 'orders', 'moved'],
    flags: [`--maintenance.token=${TOKEN}`],
  });
  const client = await cluster.client();
  for (let i = 0; i < 120; i++)
    await client.put('orders', `order/${String(i).padStart(3, '0')}`, `{"id":${i}}`);
});

afterEach(async () => {
  await tab?.close();
  tab = undefined;
});

afterAll(async () => {
  await browser?.close();
  await cluster?.stop();
});

const urlOf = (node: ClusterNode): string => `http://${node.restAddress}`;

/** Opens the console of a node, with the token in its address as the playground prints it. */
async function openConsole(
  node: ClusterNode,
  options: Parameters<typeof WatchedTab.open>[2] = {},
): Promise<Page | undefined> {
  if (browser === undefined) return undefined;
  tab = await WatchedTab.open(browser, urlOf(node), options);
  tab.page.setDefaultTimeout(HANGS_MS);
  await tab.goTo(`token=${encodeURIComponent(TOKEN)}`);
  await tab.page.getByText('live', { exact: true }).waitFor();
  return tab.page;
}

const expectNoFaults = (): void => expect(tab!.faults).toEqual([]);

test('nothing is shown without the token, which the address loses at once', async () => {
  if (browser === undefined) return;
  tab = await WatchedTab.open(browser, urlOf(cluster.node(1)));
  await tab.goTo('/');
  const { page } = tab;
  await page.getByLabel('Token').fill('wrong');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('alert').waitFor();
  expect(await page.locator('body').textContent()).not.toMatch(/node-\d|orders/);
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  // The browser itself notes each refused request.
  expect(tab.faults.filter((fault) => !fault.includes('401'))).toEqual([]);
  await tab.close();
  const opened = (await openConsole(cluster.node(1)))!;
  expect(opened.url()).not.toContain('token');
  expectNoFaults();
});

test.each([
  ['a desk, light', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
  ['a desk, dark', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }],
  ['a phone', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
] as const)('every page is whole on %s', async (_, options) => {
  const page = await openConsole(cluster.node(1), options);
  if (page === undefined) return;
  for (const [address, heading] of pages) {
    await tab!.goTo(address);
    await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
    // What is read from the table is there.
    if (address.startsWith('/data')) await page.getByText('Keys 1–50 of 120').waitFor();
    expect([address, ...(await page.evaluate(findBarriers))]).toEqual([address]);
  }
  expectNoFaults();
});

test('everything can be reached and done with the keyboard', async () => {
  const page = await openConsole(cluster.node(1));
  if (page === undefined) return;
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  expect(await page.evaluate(focused)).toMatchObject({ name: 'main' });
  await tab!.goTo('/data/orders');
  await page.getByRole('button', { name: 'order/007' }).focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'order/007' });
  await dialog.getByText('"id"').waitFor();
  expect(await page.evaluate(focused)).toMatchObject({ isInDialog: true });
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  expect(await page.evaluate(focused)).toEqual({ name: 'order/007', isInDialog: false });
  await page.getByLabel('Colours').selectOption('dark');
  expect(await page.evaluate(shownTheme)).toBe('dark');
  await page.reload();
  expect(await page.evaluate(shownTheme)).toBe('dark');
  expectNoFaults();
});

test('pairs are paged, filtered, made, changed and deleted, and nobody’s change is lost', async () => {
  const page = await openConsole(cluster.node(1));
  if (page === undefined) return;
  const client = await cluster.client();
  await tab!.goTo('/data/orders');
  await page.getByText('Keys 1–50 of 120').waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('Keys 51–100 of 120').waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('Keys 101–120 of 120').waitFor();
  expect(await page.getByRole('button', { name: 'Next' }).isDisabled()).toBe(true);
  await page.getByLabel('Keys begin with').fill('order/01');
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await page.getByText('Keys 1–10 of 10', { exact: true }).waitFor();

  await page.getByRole('button', { name: 'New pair…' }).click();
  await page.getByLabel('Key', { exact: true }).fill('order/01x');
  await page.getByRole('textbox', { name: 'Value' }).fill('{"id": 1.50, "large": 12345678901234567890}');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.getByText('Keys 1–11 of 11').waitFor();
  await page.getByRole('button', { name: 'order/01x' }).click();
  // Numbers are shown as they are, and not as JavaScript would have them.
  await page.getByRole('dialog').getByText('12345678901234567890').waitFor();

  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox', { name: 'Value' }).fill('{"mine":');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.getByText('This is no JSON').waitFor();
  await page.getByRole('textbox', { name: 'Value' }).fill('{"mine": true}');
  await client.put('orders', 'order/01x', '"of somebody else"');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.getByText('somebody else has changed this key').waitFor();
  expect((await client.get('orders', 'order/01x'))!.value.toString()).toBe('"of somebody else"');
  await page.getByRole('textbox', { name: 'Value' }).fill('mine after all');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.getByRole('button', { name: 'Edit' }).waitFor();
  expect((await client.get('orders', 'order/01x'))!.value.toString()).toBe('mine after all');

  await page.getByRole('button', { name: 'Delete…' }).click();
  const question = page.getByRole('dialog', { name: 'Delete order/01x' });
  await question.getByRole('button', { name: 'Delete' }).click();
  await page.getByText('Keys 1–10 of 10', { exact: true }).waitFor();
  expect(await client.get('orders', 'order/01x')).toBeUndefined();
  expectNoFaults();
});

test('bytes that are no text are shown and changed as hex, and a long value is cut until all of it is asked for', async () => {
  const page = await openConsole(cluster.node(1));
  if (page === undefined) return;
  const client = await cluster.client();
  await client.put('default', Buffer.from([0, 255]), Buffer.from([1, 2, 254]));
  await client.put('default', 'long', 'a'.repeat(20_000));
  await tab!.goTo('/data/default');
  await page.getByRole('button', { name: '00ff' }).click();
  await page.getByText('00000000 01 02 fe').waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox', { name: 'Value' }).fill('ca fe');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.getByText('00000000 ca fe').waitFor();
  expect((await client.get('default', Buffer.from([0, 255])))!.value).toEqual(Buffer.from([0xca, 0xfe]));
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'long' }).click();
  await page.getByText('The first 16 KiB of 19.5 KiB are shown.').waitFor();
  await page.getByRole('button', { name: 'Show all' }).click();
  await eventually('all of it is shown', async () => {
    return (await page.getByLabel('Value', { exact: true }).textContent())?.length === 20_000;
  });
  expectNoFaults();
});

test('a transaction says what it will do, and does it', async () => {
  const page = await openConsole(cluster.node(2));
  if (page === undefined) return;
  await tab!.goTo('/txn/default');
  await page.getByLabel('Table').selectOption('default');
  await page.getByRole('button', { name: 'Add a compare' }).click();
  await page.getByRole('group', { name: 'Compare' }).getByLabel('Key').fill('txn');
  await page.getByRole('group', { name: 'Compare' }).getByLabel('What of it').selectOption('version');
  await page.getByRole('group', { name: 'Compare' }).getByLabel('Number').fill('0');
  const operation = page.getByRole('group', { name: 'Operation' });
  await operation.getByLabel('Operation').selectOption('put');
  await operation.getByLabel('Key').fill('txn');
  await operation.getByLabel('Value').fill('once');
  for (const held of ['the compares held', 'a compare did not hold']) {
    await page.getByRole('button', { name: 'Run…' }).click();
    await page.getByRole('dialog').getByText('do put txn').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Run' }).click();
    await page.getByText(held, { exact: true }).waitFor();
  }
  const client = await cluster.client();
  expect(await client.get('default', 'txn')).toMatchObject({ version: 1n });
  expectNoFaults();
});

test('leadership is handed over to the node that is chosen, by whichever node is asked', async () => {
  const before = browser && (await cluster.leaderOf('moved'));
  const asked = cluster?.nodes.find(({ id }) => id !== before?.id);
  const page = asked && (await openConsole(asked));
  if (page === undefined) return;
  await tab!.goTo('/tables/moved');
  await page.getByLabel('Let another node lead').selectOption(String(asked!.id));
  await page.getByRole('button', { name: 'Transfer leadership…' }).click();
  await page.getByRole('dialog').getByText('none is lost or done twice').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Transfer leadership' }).click();
  await page.getByText(`Node ${asked!.id} leads table moved now; node ${before!.id} did before.`).waitFor();
  expect((await cluster.leaderOf('moved')).id).toBe(asked!.id);
  expectNoFaults();
});

test('a member is paused and resumed, logs are compacted, a table is made and deleted, and a backup is saved', async () => {
  const page = await openConsole(cluster.node(1));
  if (page === undefined) return;
  await tab!.goTo('/node');
  const member = page.getByRole('table', { name: 'Members' }).getByRole('row', { name: 'node-3' });
  const confirm = async (name: string): Promise<void> => {
    await page.getByRole('dialog').getByRole('button', { name, exact: true }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  };
  await member.getByRole('button', { name: 'Pause…' }).click();
  await confirm('Pause');
  await member.getByText('paused', { exact: true }).waitFor();
  await member.getByRole('button', { name: 'Resume…' }).click();
  await confirm('Resume');
  await member.getByText('ready', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Compact the logs of node-1…' }).click();
  await confirm('Compact');
  await page.getByText('The logs of this node were compacted').waitFor();

  await tab!.goTo('/tables');
  await page.getByLabel('Name of a new table').fill('made here');
  await page.getByRole('button', { name: 'Create' }).click();
  await confirm('Create table');
  await page.getByRole('link', { name: 'made here' }).click();
  await page.getByRole('button', { name: 'Back up…' }).click();
  const download = page.waitForEvent('download');
  await confirm('Download');
  const saved = readFileSync(await (await download).path());
  expect(saved.includes('manifest.json')).toBe(true);
  await page.getByRole('button', { name: 'Delete table…' }).click();
  const sure = page.getByRole('dialog').getByRole('button', { name: 'Delete table' });
  expect(await sure.isDisabled()).toBe(true);
  await page.getByRole('dialog').getByRole('textbox').fill('made here');
  await confirm('Delete table');
  await page.getByText('Table made here was deleted').waitFor();
  await page.getByRole('link', { name: 'made here' }).waitFor({ state: 'detached' });
  expectNoFaults();
});

test('a leader that is killed is shown at once: the member that is gone, and who leads now', async () => {
  const killed = browser && (await cluster.leaderOf('orders'));
  const watching = cluster?.nodes.find(({ id }) => id !== killed?.id);
  const page = watching && (await openConsole(watching));
  if (page === undefined) return;
  const leads = (id: number) =>
    page.getByRole('table', { name: 'Tables' }).getByRole('row', { name: 'orders' }).getByText(`node-${id}`);
  await leads(killed!.id).waitFor();
  await killed!.kill();
  const gone = page.getByRole('table', { name: 'Nodes' }).getByRole('row', { name: `node-${killed!.id}` });
  const shown = gone.getByText('silent').waitFor();
  const known = await eventually('another node leads', async () => {
    const leader = Number((await watching!.status()).tables.get('orders')?.leader);
    return leader !== 0 && leader !== killed!.id ? { leader, atMs: Date.now() } : undefined;
  });
  await leads(known.leader).waitFor();
  const shownAfterMs = Date.now() - known.atMs;
  process.stderr.write(`the new leader was on the page ${shownAfterMs} ms after the node knew it\n`);
  expect(shownAfterMs).toBeLessThan(SHOWN_MS_MAX);
  await shown;
  // Everything that is not of the dead node can still be looked at.
  for (const [address] of pages) {
    await tab!.goTo(address);
    await page.getByRole('heading', { level: 1 }).waitFor();
    expect([address, ...(await page.evaluate(findBarriers))]).toEqual([address]);
  }
  cluster.restart(killed!.id);
  await cluster.untilReady();
  await tab!.goTo('/');
  await page.getByText('All is well.').waitFor();
  expectNoFaults();
});

test('a page whose node is gone says so, and where else to look, and goes on by itself when it is back', async () => {
  const page = await openConsole(cluster?.node(3));
  if (page === undefined) return;
  await cluster.node(3).kill();
  await page.getByText('No connection to node-3').waitFor();
  const link = page.getByRole('link', { name: 'node-1' }).first();
  expect(await link.getAttribute('href')).toBe(`${urlOf(cluster.node(1))}/`);
  cluster.restart(3);
  await page.getByText('live', { exact: true }).waitFor();
  await cluster.untilReady();
});

test('without a token the page is for reading only, and says why', async () => {
  if (browser === undefined) return;
  const node = await NodeCommand.start();
  try {
    tab = await WatchedTab.open(browser, node.restUrl);
    await tab.goTo('/tables/default');
    await tab.page.getByText('For reading only.').waitFor();
    expect(await tab.page.getByRole('button', { name: 'Delete table…' }).isDisabled()).toBe(true);
    await tab.goTo('/data/default');
    await tab.page.getByText('No key is like this.').waitFor();
    expect(await tab.page.getByRole('button', { name: 'New pair…' }).isDisabled()).toBe(true);
    expectNoFaults();
  } finally {
    await node.stop();
  }
});
