import type { regatta } from '@coxswain/protocol';
import type { Answer, Shown } from './ask-each.js';
import { counted } from './counted.js';
import { formatSize } from './output.js';

type StatusAnswer = Answer<regatta.StatusResponse>;

/** Selects a part of the answers for a report. */
export interface StatusFilter {
  /** The only table to show, beside faults of the nodes themselves; undefined for every table. */
  readonly table?: string | undefined;
  /** True shows only endpoints and tables with something wrong. */
  readonly problems: boolean;
}

/** The most names on a line, before it says how many more there are. */
const NAMES_MAX = 5;

/**
 * The state of a cluster in rows, from the answers of its nodes. A problem of a table stands with that table alone;
 * those of a node itself have a row of their own, with an empty table.
 */
export class StatusReport {
  /** The answers that the filter leaves. */
  readonly answers: readonly StatusAnswer[];
  readonly #all: readonly StatusAnswer[];

  constructor(answers: readonly StatusAnswer[], { table, problems }: StatusFilter) {
    this.#all = answers.map((answer) => keepTables(answer, (name) => table === undefined || name === table));
    this.answers = problems ? this.#all.filter(hasProblem).map(keepProblems) : this.#all;
  }

  /** One line about everything that was asked, whatever the filter of problems leaves out. */
  get summary(): string {
    const answering = this.#all.filter(({ response }) => response !== undefined).length;
    const tables = new Set(this.#all.flatMap(({ response }) => [...(response?.tables.keys() ?? [])]));
    const withProblems = this.#tablesWhere((status) => problemsOf(status).length > 0);
    const nodes = this.#all.filter(({ response }) => response && nodeProblems(response).length > 0).length;
    const silent = this.#all.length - answering;
    const wrong = [
      silent > 0 ? `${counted(silent, 'endpoint does', 'endpoints do')} not answer` : '',
      this.leaderless.length > 0
        ? `${counted(this.leaderless.length, 'table has', 'tables have')} no leader`
        : '',
      withProblems.length > 0 ? `${counted(withProblems.length, 'table has', 'tables have')} problems` : '',
      nodes > 0 ? `${counted(nodes, 'node has', 'nodes have')} problems` : '',
    ].filter((part) => part !== '');
    const answer = answering === 1 ? 'answers' : 'answer';
    return `${answering} of ${counted(this.#all.length, 'endpoint')} ${answer}, ${counted(tables.size, 'table')}: ${wrong.join(', ') || 'no problems'}`;
  }

  /** The names of the tables without a leader on any node that answers, sorted. */
  get leaderless(): string[] {
    return this.#tablesWhere(({ leader }) => leader === '0');
  }

  /** True when a table has no leader for lack of members, or gives no reason, as on a stock server. */
  get #lacksMembers(): boolean {
    return this.#tablesWhere((table) => table.leader === '0' && table.leaderless !== 'leaderless').length > 0;
  }

  /** The endpoints of nodes that know no cluster, and so no table. */
  get #clusterless(): string[] {
    // A stock server has no role, and its info names the server.
    const isClusterless = ({ role, info }: regatta.StatusResponse) =>
      role === '' && info.startsWith('coxswain ');
    return this.#all
      .filter(({ response }) => response !== undefined && isClusterless(response))
      .map(({ endpoint }) => endpoint);
  }

  /**
   * Why the state is not known, or not good enough to take writes; undefined when it is. Scripts must see it, so it
   * fails the command.
   */
  get failure(): string | undefined {
    const silent = this.#all.filter(({ response }) => response === undefined);
    const reasons: string[] = [];
    if (silent.length > 0) {
      const each = silent.map(({ endpoint, error }) => `${endpoint}: ${error}`);
      reasons.push(
        `${silent.length} of ${counted(this.#all.length, 'endpoint does', 'endpoints do')} not answer: ${each.join('; ')}`,
      );
    }
    const clusterless = this.#clusterless;
    if (clusterless.length > 0) {
      reasons.push(
        `${counted(clusterless.length, 'node has', 'nodes have')} no cluster: ${clusterless.join(', ')}: start the members that do not answer`,
      );
    }
    const { leaderless } = this;
    if (leaderless.length > 0) {
      const more = leaderless.length - NAMES_MAX;
      const names = leaderless.slice(0, NAMES_MAX).map((name) => `'${name}'`);
      reasons.push(
        `${counted(leaderless.length, 'table has', 'tables have')} no leader: ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}: ${this.#lacksMembers ? 'start the members that do not answer' : 'the rows say what to do'}`,
      );
    }
    return reasons.length > 0 ? reasons.join('; ') : undefined;
  }

  /** The nodes and their tables, a row each. */
  get tables(): Shown {
    const rows = this.answers.flatMap(({ endpoint, response, error }) =>
      response ? statusRows(endpoint, response) : [[endpoint, '', '', '', '', '', '', '', error ?? '']],
    );
    return {
      simple: rows.map((row) => row.join(', ')),
      head: ['ENDPOINT', 'ID', 'VERSION', 'TABLE', 'LEADER', 'TERM', 'APPLIED', 'SIZE', 'ERRORS'],
      rows,
    };
  }

  /**
   * How each table follows the leader cluster. There are no rows for a leader cluster, or for a stock server, which has
   * no role.
   */
  get following(): Shown {
    const rows = this.answers.flatMap(({ endpoint, response }) => {
      if (response === undefined || response.role === '' || response.role === 'leader') return [];
      const { role, leaderAddress, leaderClusterId, tables } = response;
      return [...tables].map(([name, { replication }]) => [
        endpoint,
        role,
        name,
        leaderClusterId === '' ? leaderAddress : `${leaderAddress} (${leaderClusterId})`,
        replication?.state ?? '',
        String(replication?.leaderIndex ?? 0n),
        ...(replication === undefined || replication.state === 'elsewhere'
          ? ['', '']
          : [counted(replication.lagEntries, 'entry', 'entries'), `${Number(replication.lagMs) / 1000} s`]),
        replication?.error ?? '',
      ]);
    });
    return {
      simple: rows.map((row) => `replicates, ${row.join(', ')}`),
      head: ['ENDPOINT', 'ROLE', 'TABLE', 'FROM', 'STATE', 'LEADER INDEX', 'BEHIND', 'FOR', 'ERROR'],
      rows,
    };
  }

  /** The followers of each table of a leader cluster. */
  get followed(): Shown {
    const rows = this.answers.flatMap(({ endpoint, response }) =>
      (response?.followers ?? []).map(({ table, follower, leaderIndex, lagEntries, lastSeenMs }) => [
        endpoint,
        table,
        follower,
        String(leaderIndex),
        counted(lagEntries, 'entry', 'entries'),
        `${Number(lastSeenMs) / 1000} s ago`,
      ]),
    );
    return {
      simple: rows.map((row) => `replicated by, ${row.join(', ')}`),
      head: ['ENDPOINT', 'TABLE', 'FOLLOWER', 'LEADER INDEX', 'BEHIND', 'LAST SEEN'],
      rows,
    };
  }

  /** How far each table is archived, by the node that archives it. There are no rows when no archive is configured. */
  get archived(): Shown {
    const rows = this.answers.flatMap(({ endpoint, response }) =>
      [...(response?.tables ?? [])].flatMap(([name, { archive }]) => {
        if (archive === undefined || archive.state === 'elsewhere') return [];
        const { state, archivedIndex, archivedTimeMs, backlogBytes, gapCount, error } = archive;
        return [
          [
            endpoint,
            name,
            state,
            String(archivedIndex),
            archivedTimeMs === 0n ? '' : new Date(Number(archivedTimeMs)).toISOString(),
            formatSize(Number(backlogBytes)),
            String(gapCount),
            error,
          ],
        ];
      }),
    );
    return {
      simple: rows.map((row) => `archives, ${row.join(', ')}`),
      head: ['ENDPOINT', 'TABLE', 'STATE', 'ARCHIVED INDEX', 'OF', 'WAITS', 'GAPS', 'ERROR'],
      rows,
    };
  }

  /** Returns the names of the tables for which `holds` is true of some node's status, sorted. */
  #tablesWhere(holds: (status: regatta.TableStatus) => boolean): string[] {
    const names = new Set<string>();
    for (const { response } of this.#all) {
      for (const [name, status] of response?.tables ?? []) if (holds(status)) names.add(name);
    }
    return [...names].sort();
  }
}

function statusRows(endpoint: string, response: regatta.StatusResponse): string[][] {
  const { id, version, tables } = response;
  const ofNode = nodeProblems(response);
  const rows = [...tables].map(([name, table]) => [
    endpoint,
    id,
    version,
    name,
    table.leader === '0' ? 'none' : table.leader,
    String(table.raftTerm),
    String(table.raftAppliedIndex),
    formatSize(Number(table.dbSize)),
    problemsOf(table).join('; '),
  ]);
  return rows.length > 0 && ofNode.length === 0
    ? rows
    : [[endpoint, id, version, '', '', '', '', '', ofNode.join('; ')], ...rows];
}

/** Returns the faults of a table. A stock server does not report that a table has no leader. */
export function problemsOf({ errors, leader }: regatta.TableStatus): readonly string[] {
  return errors.length === 0 && leader === '0' ? ['no leader'] : errors;
}

/** Returns the faults of a node that concern no table. */
function nodeProblems({ errors, tables }: regatta.StatusResponse): string[] {
  const ofTables = new Set([...tables.values()].flatMap((table) => table.errors));
  return errors.filter((error) => !ofTables.has(error));
}

function hasProblem({ response }: StatusAnswer): boolean {
  if (response === undefined || nodeProblems(response).length > 0) return true;
  return [...response.tables.values()].some((table) => problemsOf(table).length > 0);
}

function keepProblems(answer: StatusAnswer): StatusAnswer {
  return keepTables(answer, (_name, table) => table !== undefined && problemsOf(table).length > 0);
}

/** Returns an answer with the tables that are kept, without the faults of the others. */
function keepTables(
  { endpoint, response, error }: StatusAnswer,
  isKept: (name: string, table: regatta.TableStatus | undefined) => boolean,
): StatusAnswer {
  if (response === undefined) return { endpoint, ...(error !== undefined && { error }) };
  // A stock server lists its tables in no order.
  const sorted = [...response.tables].sort(([a], [b]) => (a < b ? -1 : 1));
  const tables = new Map(sorted.filter(([name, table]) => isKept(name, table)));
  const kept = new Set([...tables.values()].flatMap((table) => table.errors));
  const ofNode = new Set(nodeProblems(response));
  return {
    endpoint,
    response: {
      ...response,
      tables,
      errors: response.errors.filter((text) => ofNode.has(text) || kept.has(text)),
      followers: response.followers.filter(({ table }) => isKept(table, response.tables.get(table))),
    },
  };
}
