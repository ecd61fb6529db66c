// Writes docs/events.md from the declarations of events; with --check it only says whether the page is current.
import { eventKinds } from '../packages/server/dist/src/process/event-kinds.js';
import { generatedPage, markdownTable } from './generated-page.mjs';

const names = (fields) =>
  Object.keys(fields)
    .map((name) => `\`${name}\``)
    .join(', ');

const head = ['event', 'severity', 'what happened', 'what to do', 'fields'];
const sections = Object.entries(eventKinds).map(([title, kinds]) => {
  const rows = kinds.map(({ code, severity, text, advice = '', fields }) => [
    `\`${code}\``,
    severity,
    text,
    advice,
    names(fields),
  ]);
  return `## ${title}\n\n${markdownTable(head, rows)}`;
});

/** A field that means something else in other events has all of its meanings in one row. */
function fieldRows() {
  const meanings = new Map();
  for (const { fields } of Object.values(eventKinds).flat()) {
    for (const [name, meaning] of Object.entries(fields)) {
      meanings.set(name, (meanings.get(name) ?? new Set()).add(meaning));
    }
  }
  return [...meanings]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, ofField]) => [`\`${name}\``, [...ofField].join('<br>')]);
}

generatedPage(
  'docs/events.md',
  `# Events

Made by \`scripts/generate-events.mjs\` from the declarations. An event is something that happened to a node. The same list is
in four places:

- **The log**, on stdout: each event is a JSON object in a line, with \`level\`, \`node\`, \`time\`, \`event\` (its code), its fields, \`advice\`
  where there is some, and \`msg\`, or text for people (\`log.format\`). \`log-level\` says what is written; only the log has \`debug\` events.
- **\`coxswain events\`** shows the events of all nodes, merged by time, from the last 1,000 of \`info\` and above that each keeps since its
  process started; \`--follow\` goes on. It asks \`coxswain.v1.Events/Watch\`, which \`maintenance.token\` guards.
- **The metric** \`coxswain_events_total{event,severity}\` counts all of them, from 0 on.
- **This page** says what to do.

Judge by the code: texts may change, codes may not. No field holds a key or a value of a table.

| severity | meaning |
| --- | --- |
| \`error\` | somebody must act, or a part of the service is gone |
| \`warn\` | something is not as it should be, and may pass by itself |
| \`info\` | something changed |
| \`debug\` | what only a search for a fault needs |

${sections.join('\n\n')}

## Fields

${markdownTable(['field', 'meaning'], fieldRows())}
`,
);
