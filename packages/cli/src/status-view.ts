import type { regatta } from '@coxswain/protocol';
import type { Answer, Shown } from './ask-each.js';
import { formatSize } from './output.js';
import { problemsOf, type StatusFilter, StatusReport } from './status-report.js';

type StatusAnswer = Answer<regatta.StatusResponse>;

/** Milliseconds after which a rate is measured anew. */
const RATE_MS = 1_000;

/** A place in the log of a table, and how fast it has moved. */
interface Pace {
  readonly index: bigint;
  readonly atMs: number;
  /** Entries a second; undefined before the second look. */
  readonly rate?: number;
}

/**
 * The state of a cluster as lines for a screen: the summary, the nodes, a line for each table of all nodes, those with
 * problems first, and what replicates and archives.
 */
export class StatusView {
  readonly #filter: StatusFilter;
  readonly #paces = new Map<string, Pace>();

  constructor(filter: StatusFilter) {
    this.#filter = filter;
  }

  /** Returns the lines for answers at a moment, of a clock that does not jump, as many as `height` allows. */
  lines(answers: readonly StatusAnswer[], { nowMs, height }: { nowMs: number; height: number }): string[] {
    const report = new StatusReport(answers, this.#filter);
    const tables = this.#tables(report.answers, nowMs);
    const lines = [report.summary];
    for (const { head, rows } of [
      nodesOf(answers),
      tables,
      report.following,
      report.followed,
      report.archived,
    ]) {
      if (rows.length > 0) lines.push('', ...aligned(head, rows));
    }
    if (lines.length <= height) return lines;
    const left = lines.length - height + 1;
    return [
      ...lines.slice(0, Math.max(0, height - 1)),
      `… and ${left} more lines: a higher terminal, --table or --problems shows the others`,
    ];
  }

  #tables(answers: readonly StatusAnswer[], nowMs: number): Pick<Shown, 'head' | 'rows'> {
    const byName = new Map<string, regatta.TableStatus[]>();
    for (const { response } of answers) {
      for (const [name, table] of response?.tables ?? []) {
        byName.set(name, [...(byName.get(name) ?? []), table]);
      }
    }
    const rows = [...byName].map(([name, states]) => {
      const indexes = states.map(({ raftAppliedIndex }) => raftAppliedIndex);
      const applied = greatest(indexes);
      const least = -greatest(indexes.map((index) => -index));
      const newest = states.reduce((a, b) => (a.raftTerm >= b.raftTerm ? a : b));
      const { rate } = this.#pace(name, applied, nowMs);
      const problems = [...new Set(states.flatMap(problemsOf))];
      return {
        hasProblem: problems.length > 0,
        cells: [
          name,
          newest.leader === '0' ? 'none' : newest.leader,
          String(newest.raftTerm),
          String(applied),
          String(applied - least),
          rate === undefined ? '' : String(Math.round(rate)),
          formatSize(Number(greatest(states.map(({ dbSize }) => dbSize)))),
          problems.join('; '),
        ],
      };
    });
    rows.sort((a, b) => Number(b.hasProblem) - Number(a.hasProblem) || (a.cells[0]! < b.cells[0]! ? -1 : 1));
    return {
      head: ['TABLE', 'LEADER', 'TERM', 'APPLIED', 'BEHIND', 'PER SECOND', 'SIZE', 'PROBLEMS'],
      rows: rows.map(({ cells }) => cells),
    };
  }

  /** Returns how fast a table's log has moved between the last two looks. */
  #pace(name: string, index: bigint, nowMs: number): Pace {
    const last = this.#paces.get(name);
    if (last !== undefined && nowMs - last.atMs < RATE_MS) return last;
    const rate = last && Math.max(0, Number(index - last.index) / ((nowMs - last.atMs) / 1000));
    const pace = { index, atMs: nowMs, ...(rate !== undefined && { rate }) };
    this.#paces.set(name, pace);
    return pace;
  }
}

function nodesOf(answers: readonly StatusAnswer[]): Pick<Shown, 'head' | 'rows'> {
  return {
    head: ['ENDPOINT', 'ID', 'VERSION', 'ROLE', 'TABLES', 'LEADS', 'SIZE', 'PROBLEMS'],
    rows: answers.map(({ endpoint, response, error }) => {
      if (response === undefined) return [endpoint, '', '', '', '', '', '', error ?? ''];
      const { id, version, role, errors } = response;
      const tables = [...response.tables.values()];
      const sizeBytes = tables.reduce((sum, { dbSize }) => sum + dbSize, 0n);
      const leads = tables.filter(({ leader }) => leader === id).length;
      const ofTables = new Set(tables.flatMap((table) => table.errors));
      const problems = errors.filter((text) => !ofTables.has(text));
      const numbers = [tables.length, leads].map(String);
      return [endpoint, id, version, role, ...numbers, formatSize(Number(sizeBytes)), problems.join('; ')];
    }),
  };
}

/** Returns the greatest of some numbers, at least one, which Math.max takes none of. */
function greatest(numbers: readonly bigint[]): bigint {
  return [...numbers].sort((a, b) => (a < b ? -1 : Number(a > b))).at(-1)!;
}

/** Returns lines whose cells stand below one another; numbers end where their column does. */
function aligned(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const shown = rows.map((row) => row.map(printable));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...shown.map((row) => [...(row[column] ?? '')].length)),
  );
  const isNumeric = head.map((_, column) =>
    shown.every((row) => /^[\d.]*( [KMGT]?i?B)?$/.test(row[column] ?? '')),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const fill = ' '.repeat(Math.max(0, widths[column]! - [...cell].length));
        return isNumeric[column] ? fill + cell : cell + fill;
      })
      .join('  ')
      .trimEnd();
  return [line(head), ...shown.map(line)];
}

/** Returns a text that moves no cursor: a name may hold any character. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\u{fffd}');
}
