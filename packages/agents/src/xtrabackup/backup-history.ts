import { createHash } from 'node:crypto';

/** Backups that the history keeps, and the most that one query returns: the same number as in the real agent. */
export const BACKUPS_REMEMBERED_MAX = 1_000;
/** Characters of a session id or message that are kept. */
const TEXT_LENGTH_MAX = 1_024;
const FORMAT = 1;

/** The types of backups, as a query names them. */
export const backupTypes = ['full', 'incremental'] as const;

type BackupType = (typeof backupTypes)[number];

/** Whether a text names a type of backup. */
export const isBackupType = (text: string): text is BackupType =>
  (backupTypes as readonly string[]).includes(text);

/** A backup that has ended, successfully or not. */
export interface BackupRecord {
  /** The session id: the client's own, or ours when the client named none. */
  readonly sid: string;
  readonly type: BackupType;
  /** When the backup began, in milliseconds since 1970. */
  readonly startedMs: number;
  /** When the backup ended, in milliseconds since 1970. */
  readonly endedMs: number;
  /** Bytes of the tar that were sent: after compression if there was one, before the encoding. */
  readonly sizeBytes: number;
  /** Files of the tar; 0 when the tar was not begun. */
  readonly fileCount: number;
  readonly isDone: boolean;
  /** Says what was sent, or why it was not. */
  readonly message: string;
  /** For an incremental backup under a client's own sid: the point at which it begins, as the client wrote it. */
  readonly point: string | undefined;
}

/** Selects backups from the history. */
export interface BackupQuery {
  /** The type of the backups; undefined selects both. */
  readonly type: BackupType | undefined;
  /** Selects backups that began at or after this second since 1970. */
  readonly newerThanSeconds: number;
  /** The most backups to return; 0 returns all that are kept. */
  readonly itemsMax: number;
}

/** The last backups of this agent, up to `BACKUPS_REMEMBERED_MAX`. */
export class BackupHistory {
  /** In the order in which the backups ended. Points are stored as hashes, since a point may be as long as a line. */
  #records: BackupRecord[] = [];

  /** Decodes a history that `encode` made. Throws Error when the content is something else. */
  static decode(content: Buffer): BackupHistory {
    const { format, backups } = JSON.parse(content.toString()) as { format?: unknown; backups?: unknown };
    if (format !== FORMAT || !Array.isArray(backups) || !backups.every(isRecord)) {
      throw new Error(`it is no list of backups of format ${FORMAT}`);
    }
    const history = new BackupHistory();
    history.#records = backups.slice(-BACKUPS_REMEMBERED_MAX);
    return history;
  }

  /** Encodes the whole history as JSON. */
  encode(): Buffer {
    return Buffer.from(`${JSON.stringify({ format: FORMAT, backups: this.#records })}\n`);
  }

  /** Adds a backup that has ended, and drops the oldest one above `BACKUPS_REMEMBERED_MAX`. */
  add(record: BackupRecord): void {
    this.#records.push({
      ...record,
      sid: record.sid.slice(0, TEXT_LENGTH_MAX),
      message: record.message.slice(0, TEXT_LENGTH_MAX),
      point: record.point && hashOf(record.point),
    });
    if (this.#records.length > BACKUPS_REMEMBERED_MAX) this.#records.shift();
  }

  /** Whether the changes since a point were already sent under this sid of a client. */
  hasSent(sid: string, point: string): boolean {
    const hash = hashOf(point);
    return this.#records.some((record) => record.isDone && record.sid === sid && record.point === hash);
  }

  /** Returns the selected backups, those that began last first. */
  find({ type, newerThanSeconds, itemsMax }: BackupQuery): BackupRecord[] {
    const found = this.#records
      .filter((record) => type === undefined || record.type === type)
      .filter(({ startedMs }) => startedMs >= newerThanSeconds * 1000)
      .reverse()
      .sort((a, b) => b.startedMs - a.startedMs);
    return itemsMax === 0 ? found : found.slice(0, itemsMax);
  }
}

/** Describes a backup as the keys and values of a block. */
export function describeBackup(record: BackupRecord): Readonly<Record<string, string>> {
  return {
    sid: record.sid,
    start_time: String(Math.floor(record.startedMs / 1000)),
    end_time: String(Math.floor(record.endedMs / 1000)),
    backup_size: String(record.sizeBytes),
    status: record.isDone ? 'success' : 'failure',
    type: record.type,
    files: String(record.fileCount),
    message: record.message,
  };
}

function isRecord(value: unknown): value is BackupRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { sid, type, startedMs, endedMs, sizeBytes, fileCount, isDone, message, point } =
    value as BackupRecord;
  return (
    [sid, message, point ?? ''].every((text) => typeof text === 'string') &&
    [startedMs, endedMs, sizeBytes, fileCount].every(Number.isSafeInteger) &&
    isBackupType(type) &&
    typeof isDone === 'boolean'
  );
}

function hashOf(point: string): string {
  return createHash('sha256').update(point).digest('hex');
}
