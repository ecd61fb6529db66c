import { spawnSync } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { program } from '../src/commands/root.js';
import { manualPages } from '../src/manual/manual-pages.js';
import { paragraphs } from '../src/manual/roff.js';

const mandoc = (args: readonly string[], page: string): { stdout: string; status: number | null } =>
  spawnSync('mandoc', args, { input: page, encoding: 'utf8' });
const hasMandoc = spawnSync('mandoc', [], { input: '' }).error === undefined;
const title = (text: string): string => (hasMandoc ? text : `not tried, for want of \`mandoc\`: ${text}`);

describe('the pages of the manual', () => {
  test('are one for each command, with every option that its help shows', async () => {
    const pages = new Map((await manualPages()).map(({ name, text }) => [name, text]));
    const { commands } = await program(undefined);
    expect([...pages.keys()].sort()).toEqual(
      ['coxswain.1', ...commands.map((command) => `coxswain-${command.name()}.1`)].sort(),
    );
    for (const command of commands) {
      const page = pages.get(`coxswain-${command.name()}.1`)!;
      for (const each of command.commands.length > 0 ? command.commands : [command]) {
        for (const { long, hidden } of each.options) {
          if (!hidden)
            expect([long, page]).toEqual([long, expect.stringContaining(long!.replaceAll('-', '\\-'))]);
        }
      }
    }
    expect(pages.get('coxswain-leader.1')).toContain('\\-\\-raft.wal\\-segment\\-size');
    expect(pages.get('coxswain-tables.1')).toContain('.SS \\fBcoxswain\\fR \\fBtables\\fR \\fBdelete\\fR');
    expect(pages.get('coxswain-tables.1')!.match(/\\fB\\-\\-endpoints/g)).toHaveLength(1);
  });

  test(title('are read by mandoc without a warning'), async () => {
    if (!hasMandoc) return;
    for (const { name, text } of await manualPages()) {
      expect([name, mandoc(['-Tlint', '-W', 'warning'], text).stdout]).toEqual([name, '']);
    }
    // A fault is found.
    expect(mandoc(['-Tlint', '-W', 'warning'], '.TH A 1 2026-12-01\n.SH\n').stdout).not.toBe('');
  });

  test(title('show every character as it is, wherever it stands'), () => {
    if (!hasMandoc) return;
    const text = `.begins with a dot\n'and a quote, \\n \\\\ "double" \`back\` -dash --two ~/home ^caret … –`;
    const page = `.TH A 1 2026-12-01\n.SH NAME\na \\- b\n${paragraphs(`${text}\n\n  ${text.split('\n')[1]}\n  .dot`)}\n`;
    // A terminal prints a character over another one to make it bold.
    const shown = mandoc(['-Tutf8', '-O', 'width=200'], page)
      .stdout.split('\b')
      .map((part, index, all) => (index < all.length - 1 ? part.slice(0, -1) : part))
      .join('');
    const [first, second] = text.split('\n');
    expect(shown).toContain(`${first} ${second}`);
    expect(shown).toMatch(/^ +\.dot$/m);
  });
});
