import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Writes the page at `path`, relative to the root, which the running script makes; with --check it only says, by exit code
 * 1 and a line on stderr, that the page is not what would be written.
 */
export function generatedPage(path, text) {
  const page = join(dirname(fileURLToPath(import.meta.url)), '..', path);
  if (!process.argv.includes('--check')) {
    writeFileSync(page, text);
  } else if (readFileSync(page, 'utf8') !== text) {
    console.error(`${path} is not current: run node scripts/${basename(process.argv[1])}`);
    process.exitCode = 1;
  }
}

/** A table in Markdown: the heads of its columns, and rows of as many cells. */
export function markdownTable(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
