import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  type BackedUpTable,
  type Backups,
  backupFileNames,
  formatManifest,
  MANIFEST,
} from '@coxswain/backup';
import { errors, type NodeParts } from '@coxswain/node';
import { maintenance, type replication } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { consoleErrors } from './console-errors.js';
import type { RequestBody } from './request-body.js';

/** A download must begin within a minute of the request for it. */
const TICKET_MS = 60_000;
const TICKETS_MAX = 100;
const TICKET_BYTES = 18;
/** Milliseconds within which a table's first bytes must come. */
const OPENING_MS = 10_000;
/** A table may take as long as over gRPC (services/maintenance-service.ts). */
const TABLE_MS = 3_600_000;
const EXTENSION = '.bak';

interface Ticket {
  readonly tables: readonly string[];
  readonly untilMs: number;
}

/**
 * Backups that a browser saves as a file. It cannot send a token with a download that goes straight to the disk, so the
 * request, with the token, is answered with a path that is good for one download within a minute.
 *
 * The file is a ZIP with what a backup directory holds (docs/protocol.md §4): `coxswain restore` takes it once it is
 * unpacked. ZIP, since its entries may be written before their sizes are known.
 */
export class BackupDownloads {
  readonly #node: Pick<NodeParts, 'reports' | 'cluster'>;
  readonly #backups: Pick<Backups, 'backup'>;
  readonly #clock: Clock;
  readonly #tickets = new Map<string, Ticket>();

  constructor(node: Pick<NodeParts, 'reports' | 'cluster'>, backups: Pick<Backups, 'backup'>, clock: Clock) {
    this.#node = node;
    this.#backups = backups;
    this.#clock = clock;
  }

  /** Gives the ticket of a download. Errors: badRequest, tableNotFound, tooBusy, and notForThisRole on follower clusters. */
  issue(body: RequestBody): string {
    if (this.#node.cluster.role !== 'leader') throw errors.notForThisRole('Backup');
    const nowMs = this.#clock.monotonicMs();
    for (const [ticket, { untilMs }] of this.#tickets) if (untilMs <= nowMs) this.#tickets.delete(ticket);
    if (this.#tickets.size >= TICKETS_MAX) throw errors.tooBusy();
    const all = this.#node.reports
      .status()
      .tables.map(({ name }) => name)
      .sort();
    const asked = new Set(body.texts('tables'));
    const tables = asked.size === 0 ? all : all.filter((name) => asked.has(name));
    if (tables.length < asked.size) throw errors.tableNotFound();
    const ticket = randomBytes(TICKET_BYTES).toString('base64url');
    this.#tickets.set(ticket, { tables, untilMs: nowMs + TICKET_MS });
    return ticket;
  }

  /** Begins the download that a ticket was given for. Rejects with downloadUnknown. */
  async open(
    ticket: string,
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly content: Readable }> {
    const found = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    if (found === undefined || found.untilMs <= this.#clock.monotonicMs())
      throw consoleErrors.downloadUnknown();
    const { default: library } = await import('yazl');
    const started = new Date();
    const zip = new library.ZipFile();
    const content = zip.outputStream as Readable;
    const fail = (error: unknown): void => void content.destroy(error as Error);
    const described: BackedUpTable[] = [];
    const options = { compress: false, mtime: started, forceZip64Format: true } as const;
    for (const [table, fileName] of backupFileNames(found.tables, EXTENSION)) {
      const file = `${fileName}${EXTENSION}`;
      zip.addReadStreamLazy(file, options, (take) => {
        const written = (whole: BackedUpTable): void => void described.push(whole);
        take(null, Readable.from(this.#content(table, file, signal, written)).once('error', fail));
      });
    }
    zip.addReadStreamLazy(MANIFEST, options, (take) => {
      const finished = new Date().toISOString();
      const manifest = { started: started.toISOString(), finished, tables: described };
      take(null, Readable.from([Buffer.from(formatManifest(manifest))]));
    });
    zip.end();
    return { name: `coxswain-${started.toISOString().replaceAll(/[:.]/g, '-')}.zip`, content };
  }

  async *#content(
    table: string,
    file: string,
    signal: AbortSignal,
    written: (whole: BackedUpTable) => void,
  ): AsyncGenerator<Buffer> {
    const nowMs = this.#clock.monotonicMs();
    const call = { deadlineMs: nowMs + TABLE_MS, openingDeadlineMs: nowMs + OPENING_MS, signal };
    const request = maintenance.BackupRequest.fromPartial({ table: Buffer.from(table) });
    const md5 = createHash('md5');
    let point: replication.BackupPoint | undefined;
    let keyCount = 0n;
    for await (const chunk of this.#backups.backup(request, call)) {
      md5.update(chunk.data);
      point ??= chunk.point;
      if (chunk.keyCount > 0n) keyCount = chunk.keyCount;
      yield chunk.data;
    }
    // A stream that was broken off ends in order as well.
    if (signal.aborted || point === undefined) throw new Error('the download was given up');
    written({
      name: table,
      file_name: file,
      md5: md5.digest('hex'),
      type: 'FULL',
      cluster_id: point.clusterId,
      shard_id: Number(point.shardId),
      revision: Number(point.revision),
      ...(point.timeMs > 0n && { time: new Date(Number(point.timeMs)).toISOString() }),
      key_count: Number(keyCount),
    });
  }
}
