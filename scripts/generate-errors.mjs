// Writes docs/errors.md from the declarations of errors; with --check it only says whether the page is current.
import { archiveErrors } from '../packages/archive/dist/src/errors.js';
import { clientErrors, StatusCode } from '../packages/client/dist/src/errors.js';
import { errors, Status } from '../packages/node/dist/src/api/errors.js';
import { transportErrors } from '../packages/server/dist/src/grpc/errors.js';
import { consoleErrors } from '../packages/server/dist/src/rest/console/console-errors.js';
import { SnapshotDamagedError } from '../packages/stream/dist/src/index.js';
import * as table from '../packages/table/dist/src/errors.js';
import { generatedPage, markdownTable } from './generated-page.mjs';

const statusNames = Object.fromEntries(
  Object.entries(Status)
    .filter(([, number]) => typeof number === 'number')
    .map(([name, number]) => [number, name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()]),
);

function rows(declarations) {
  return Object.entries(declarations)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, make]) => {
      // What varies is shown as an ellipsis.
      const { status, message } = make('…', '…', '…');
      return [`\`${code}\``, statusNames[status] ?? 'varies', message];
    });
}

/** Codes that no status belongs to, each with the texts that have it. */
function textRows(made) {
  return made.map(({ code, message }) => [`\`${code}\``, message]).sort();
}

const ellipses = ['…', '…', '…', '…'];
const ofArchive = Object.values(archiveErrors).map((make) =>
  make === archiveErrors.ambiguous ? make('…', '…', ['…', '…']) : make(...ellipses),
);
const isTableError = (value) => value.prototype instanceof table.TableError;
const ofTables = Object.values(table)
  .filter(isTableError)
  .flatMap((TableError) =>
    TableError === table.StoreUnusableError
      ? ['noRoom', 'descriptors', 'permission', 'readOnly', 'inUse'].map(
          (obstacle) => new TableError('…', obstacle, '…'),
        )
      : new TableError(...ellipses),
  )
  .concat(new SnapshotDamagedError(...ellipses));
const clientRows = Object.entries(clientErrors)
  .map(([code, { status, text }]) => [`\`${code}\``, StatusCode[status], text])
  .sort();
const textHead = ['code', 'text'];
const head = ['code', 'status', 'text'];

generatedPage(
  'docs/errors.md',
  `# Errors

Made by \`scripts/generate-errors.mjs\` from the declarations. A node sends the code of an error in the trailer
\`coxswain-error\`; the TypeScript client gives it as \`errorCode\`. Judge by the code: texts may change, codes may not.
Stock servers send no codes. The client says in the header \`coxswain-opening-timeout\`, as \`grpc-timeout\` does of a whole call, how long it
waits for the first message of a stream: the node tells it before that why none comes.

- \`UNKNOWN\` with the code \`outcomeUnknown\` is the only answer after which a write may have been applied. The TypeScript
  client throws it as \`OutcomeUnknownError\`, also when it lost the connection, or its time was up, with a write under way.
  Read before repeating the write.
- \`UNAVAILABLE\` with a code means that nothing was done: the request may be repeated, also on another node.
- The TypeScript client has codes for [what it finds itself](#of-the-typescript-client).

## Of requests

${markdownTable(head, rows(errors))}

## Of the listener

${markdownTable(head, rows(transportErrors))}

## Of the console

Its API answers with JSON, \`{"error": {"code", "message"}}\`, and the HTTP status that fits; the errors of requests above come
there as well.

${markdownTable(head, rows(consoleErrors))}

## Of the TypeScript client

With \`noConnection\` and \`notBegun\` nothing was done. \`connectionLost\` is of reads and of incomplete uploads, which change nothing:
a write whose connection was lost ends with \`outcomeUnknown\`. Nor do calls with \`aborted\` and \`clientClosed\` change anything.

${markdownTable(head, clientRows)}

## Of an archive

\`coxswain archive\`, \`coxswain status\` and the log show these texts; the code is \`ArchiveError.code\`. To callers of a restore
they come as \`archiveFailed\`.

${markdownTable(textHead, textRows(ofArchive))}

## Of a table's files and log

They are in the log of the node, as the reason of what it does about them: see
[operations](operations.md#damaged-files). The code is \`TableError.code\`.

${markdownTable(textHead, textRows(ofTables))}
`,
);
