import { existsSync } from 'node:fs';
import { reportPolicyViolations } from '@coxswain/console/testing';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

/** Where Debian has it; another one is named by the environment. */
const CHROMIUM = process.env['COXSWAIN_TEST_CHROMIUM'] ?? '/usr/bin/chromium';

/** Starts a browser. Undefined, and a line that says so, where none is installed. */
export async function startBrowser(): Promise<Browser | undefined> {
  if (!existsSync(CHROMIUM)) {
    process.stderr.write(
      `no browser at ${CHROMIUM}: the console is not looked at (apt-get install chromium)\n`,
    );
    return undefined;
  }
  // Whoever runs tests may be root, for whom chromium has no sandbox.
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
}

/** A tab that takes note of everything that a page must not do. */
export class WatchedTab {
  /** Errors and warnings of the page, broken rules of its policy, and requests to other hosts. */
  readonly faults: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
    readonly url: string,
  ) {}

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<WatchedTab> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    const tab = new WatchedTab(context, page, url);
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) tab.faults.push(message.text());
    });
    page.on('pageerror', (error) => tab.faults.push(error.stack ?? error.message));
    page.on('request', (request) => {
      const { protocol, origin } = new URL(request.url());
      const isOwn = origin === url || protocol === 'data:' || protocol === 'blob:';
      if (!isOwn) tab.faults.push(`a request to ${request.url()}`);
    });
    await page.addInitScript(reportPolicyViolations);
    return tab;
  }

  /** Shows a page by what stands after # in its address. */
  async goTo(address: string): Promise<void> {
    await this.page.goto(`${this.url}/#${address}`);
  }

  close(): Promise<void> {
    return this.context.close();
  }
}
