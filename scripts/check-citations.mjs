// Checks what code, tests and pages cite: that each rule, page and section that is cited exists, that each rule of
// docs/rules.md is cited where it is kept and where a test tries to break it, and that each package has its page.
// Prints what is wrong, one line each, and exits 1.
//
// A rule is cited by its number, as in "(D4)". A page is cited as in `docs/protocol.md §2` or `DESIGN.md, "A turn"`:
// its path from the root, or from the folder that holds the citing file or one above it, so that DESIGN.md in a
// package is that package's. A bare § is a section of the Raft paper. Pages link each other as Markdown has it.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Text that people wrote; generated code and recorded answers cite nothing. */
const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => /[.](ts|mjs|cjs|js|json|md|txt|sh|rs|proto|ya?ml)$/.test(file))
  .filter((file) => !/(^|\/)(gen|golden)\/|pnpm-lock/.test(file) && existsSync(join(root, file)));

const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));

/** A page's headings, as they read and as links name them. */
function outline(page) {
  const headings = [];
  const anchors = new Set();
  let isCode = false;
  for (const line of readFileSync(join(root, page), 'utf8').split('\n')) {
    if (line.startsWith('```')) isCode = !isCode;
    const title = isCode ? undefined : /^#{1,6} (.+)$/.exec(line)?.[1].replaceAll('`', '');
    if (title === undefined) continue;
    headings.push(title);
    // As GitHub makes them.
    const anchor = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return { headings, anchors };
}

const outlines = new Map();
function outlineOf(page) {
  if (!outlines.has(page)) outlines.set(page, outline(page));
  return outlines.get(page);
}

const lineOf = (text, at) => text.slice(0, at).split('\n').length;

// ---- Rules

const RULES_PAGE = 'docs/rules.md';
const rules = new Set(outlineOf(RULES_PAGE).headings.filter((heading) => /^[A-Z]\d+$/.test(heading)));
const letters = [...new Set([...rules].map(([letter]) => letter))].join('');
const ruleNumber = new RegExp(`(?<![\\w%#-])[${letters}]\\d{1,2}(?!\\w)`, 'g');

/** The parts of a line of code in which a rule may be cited: comments and texts. Elsewhere T1 is a name of the code's own. */
function* citingParts(file, line) {
  if (!/[.](ts|mjs|cjs|js)$/.test(file) || /^\s*(\/\*|\*|\/\/)/.test(line)) yield line;
  else for (const [part] of line.matchAll(/\/\/ .*|\/\*.*|'[^']*'|"[^"]*"|`[^`]*`?/g)) yield part;
}

const isSource = (file) => /^packages\/[^/]+\/src\/.*[.]ts$/.test(file);
const isTest = (file) => /^packages\/[^/]+\/test\/.*([.]test[.]ts|\/scenarios\/.*[.]txt)$/.test(file);

function* checkRules() {
  const uncited = { 'source file': new Set(rules), test: new Set(rules) };
  for (const [file, text] of texts) {
    if (file === RULES_PAGE || !/^(packages|bench|scripts|docs|[^/]+$)/.test(file)) continue;
    for (const [index, line] of text.split('\n').entries()) {
      for (const part of citingParts(file, line)) {
        for (const [rule] of part.matchAll(ruleNumber)) {
          if (!rules.has(rule)) yield `${file}:${index + 1}: ${RULES_PAGE} has no rule ${rule}`;
          if (isSource(file)) uncited['source file'].delete(rule);
          if (isTest(file)) uncited.test.delete(rule);
        }
      }
    }
  }
  for (const [where, missing] of Object.entries(uncited)) {
    for (const rule of missing) yield `${RULES_PAGE}: rule ${rule} is cited by no ${where}`;
  }
}

// ---- Pages and sections

/** What a page's name means in a file: from the root, or from the file's folder or one above it. */
function resolvePage(file, page) {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const path = join(folder, page);
    if (texts.has(path)) return path;
    if (folder === '.') return undefined;
  }
}

const citation =
  /(?<![\w./<{*-])((?:[\w.-]+\/)*[\w-]+[.]md)(?![\w/])(?:(?<numbers> §\d+(?:(?:, | and )§\d+)*)|, "(?<title>[^"]+)")?/g;

/** The text as it is read: sentences go on over the lines of a comment, quotes in JSON are escaped, links are no citations. */
function readable(text) {
  const plain = text
    .replaceAll('\\"', ' "')
    .replace(/\]\([^)]*\)/g, (link) => ' '.repeat(link.length))
    .replace(/\n[ \t]*(?:\*|\/\/|#)(?= )/g, (start) => '\n'.padEnd(start.length));
  const starts = [];
  let prose = '';
  for (const { 0: piece, index } of plain.matchAll(/\s+|\S+/g)) {
    starts.push([prose.length, index]);
    prose += /\s/.test(piece) ? ' ' : piece;
  }
  return {
    prose,
    lineAt(at) {
      const [, index] = starts.findLast(([start]) => start <= at);
      return lineOf(text, index);
    },
  };
}

function* checkCitations() {
  for (const [file, text] of texts) {
    const { prose, lineAt } = readable(text);
    for (const found of prose.matchAll(citation)) {
      const { 1: page, index } = found;
      const path = resolvePage(file, page);
      if (path === undefined) {
        // Outside of packages it means that of any package.
        if (page !== 'DESIGN.md') yield `${file}:${lineAt(index)}: there is no page ${page}`;
        continue;
      }
      const { headings } = outlineOf(path);
      const { numbers = '', title } = found.groups;
      for (const [, number] of numbers.matchAll(/§(\d+)/g)) {
        if (!headings.some((heading) => heading.startsWith(`${number}. `)))
          yield `${file}:${lineAt(index)}: ${page} has no section ${number}`;
      }
      if (title !== undefined && !headings.includes(title.replaceAll('`', '').trim()))
        yield `${file}:${lineAt(index)}: ${page} has no section "${title}"`;
    }
  }
}

function* checkLinks() {
  for (const [file, text] of texts) {
    if (!file.endsWith('.md')) continue;
    for (const { 1: target, index } of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split('#');
      const page = path === '' ? file : relative(root, join(root, dirname(file), path));
      if (!existsSync(join(root, page))) yield `${file}:${lineOf(text, index)}: there is no ${page}`;
      else if (anchor !== undefined && !outlineOf(page).anchors.has(anchor))
        yield `${file}:${lineOf(text, index)}: ${page} has no section #${anchor}`;
    }
  }
}

// ---- Packages

function* checkPackages() {
  const map = texts.get('ARCHITECTURE.md');
  for (const name of readdirSync(join(root, 'packages'))) {
    const page = `packages/${name}/DESIGN.md`;
    if (!texts.has(`packages/${name}/package.json`)) continue;
    if (!texts.has(page)) yield `packages/${name}: has no DESIGN.md`;
    if (!map.includes(`(${page})`)) yield `ARCHITECTURE.md: does not name ${page}`;
  }
}

const problems = [...checkRules(), ...checkCitations(), ...checkLinks(), ...checkPackages()];
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
