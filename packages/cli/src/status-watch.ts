import type { regatta } from '@coxswain/protocol';
import type { Answer } from './ask-each.js';
import type { ConnectionFlags } from './connection-flags.js';
import { LiveScreen, untilEnded } from './live-screen.js';
import { renderJson } from './output.js';
import { POLL_MS, StatusPoll } from './status-poll.js';
import { problemsOf, type StatusFilter, StatusReport } from './status-report.js';
import { StatusView } from './status-view.js';

/**
 * Shows the state of a cluster until a signal comes: on a terminal as a screen that is drawn anew in place, elsewhere as a
 * line for each change, and as JSON the answers of all endpoints once a second.
 */
export async function watchStatus(flags: ConnectionFlags, filter: StatusFilter): Promise<void> {
  const ended = untilEnded();
  const isLive = process.stdout.isTTY === true && flags.output !== 'json';
  const stop = isLive ? showLive(flags, filter) : printChanges(flags, filter);
  await ended;
  stop();
}

function showLive(flags: ConnectionFlags, filter: StatusFilter): () => void {
  const view = new StatusView(filter);
  const draw = (): void => {
    const { answers } = poll;
    const time = new Date().toTimeString().slice(0, 8);
    const title = `coxswain status, ${time}; Ctrl-C ends`;
    const room = { nowMs: performance.now(), height: screen.height - 2 };
    const lines = answers === undefined ? ['waiting for the first answers'] : view.lines(answers, room);
    screen.draw([title, '', ...lines]);
  };
  const poll = new StatusPoll(flags, () => draw());
  const screen = new LiveScreen(process.stdout, draw);
  draw();
  // The time goes on, and with it that of an endpoint which is silent.
  const timer = setInterval(draw, POLL_MS);
  return () => {
    clearInterval(timer);
    poll.stop();
    screen.close();
  };
}

function printChanges(flags: ConnectionFlags, filter: StatusFilter): () => void {
  let before = new Map<string, string>();
  const print = (): void => {
    // A reader that takes nothing misses what is old, and holds no memory.
    if (poll.answers === undefined || process.stdout.writableNeedDrain) return;
    const report = new StatusReport(poll.answers, filter);
    const time = new Date().toISOString();
    if (flags.output === 'json') {
      process.stdout.write(report.answers.map((answer) => renderJson({ time, ...answer })).join(''));
      return;
    }
    const now = factsOf(report);
    const changed = [...now].filter(([subject, fact]) => before.get(subject) !== fact);
    const gone = [...before.keys()].filter((subject) => !now.has(subject));
    const end = filter.problems ? 'no problems any more' : 'is gone';
    const lines = [...changed.map((fact) => fact.join('')), ...gone.map((subject) => subject + end)];
    process.stdout.write(lines.map((line) => `${time} ${line}\n`).join(''));
    before = now;
  };
  const poll = new StatusPoll(flags, () => undefined);
  const timer = setInterval(print, POLL_MS);
  return () => {
    clearInterval(timer);
    poll.stop();
  };
}

/** Returns what is worth a line when it changes, by what it is about. */
function factsOf(report: StatusReport): Map<string, string> {
  const facts = new Map([['', report.summary]]);
  const tables = new Map<string, { leader: string; term: bigint; problems: Set<string> }>();
  for (const { endpoint, response, error } of report.answers) {
    facts.set(`${endpoint}: `, response === undefined ? silence(error) : nodeFact(response));
    for (const [name, status] of response?.tables ?? []) {
      const known = tables.get(name) ?? { leader: '0', term: -1n, problems: new Set() };
      const isNewer =
        status.raftTerm > known.term || (status.raftTerm === known.term && known.leader === '0');
      for (const problem of problemsOf(status)) known.problems.add(problem);
      tables.set(name, isNewer ? { ...known, leader: status.leader, term: status.raftTerm } : known);
    }
  }
  for (const [name, { leader, problems }] of tables) {
    const texts = [leader === '0' ? 'no leader' : `leader ${leader}`, ...problems];
    facts.set(`table '${name}': `, texts.join('; '));
  }
  return facts;
}

/** Returns the fact about an endpoint that does not answer, without the seconds, which change all the time. */
function silence(error: Answer<unknown>['error']): string {
  return (error ?? '').replace(/^no answer for .*/, 'no answer');
}

function nodeFact({ id, role, errors, tables }: regatta.StatusResponse): string {
  const ofTables = new Set([...tables.values()].flatMap((table) => table.errors));
  const own = errors.filter((text) => !ofTables.has(text));
  return [`node ${id} answers`, role, ...own].filter((part) => part !== '').join('; ');
}
