import { createHash } from 'node:crypto';

/** Backups that are remembered, and as many as a request for them gets: the real agent's number. */
export const BACKUPS_REMEMBERED_MAX = 1_000;
/** Characters of a text that are kept. */
const TEXT_LENGTH_MAX = 1_024;
const FORMAT = 1;

export const backupTypes = ['full', 'incremental'] as const;

type BackupType = (typeof backupTypes)[number];

export const isBackupType = (text: string): text is BackupType =>
  (backupTypes as readonly string[]).includes(text);

/** A backup that has ended. */
export interface BackupRecord {
  /** The client's own, or ours where it named none. */
  readonly sid: string;
  readonly type: BackupType;
  readonly startedMs: number;
  readonly endedMs: number;
  /** Bytes of the tar that were sent, compressed where that was asked for, before they were encoded. */
  readonly sizeBytes: number;
  /** Files of the tar; 0 where it was not begun. */
  readonly fileCount: number;
  readonly isDone: boolean;
  /** What was sent, or why it was not. */
  readonly message: string;
  /** Of an incremental backup under a client's sid: the point that it begins at, as the client wrote it. */
  readonly point: string | undefined;
}

/** Which backups are asked for. */
export interface BackupQuery {
  /** Undefined: of both types. */
  readonly type: BackupType | undefined;
  /** Begun at or after this second since 1970. */
  readonly newerThanSeconds: number;
  /** 0: all that are remembered. */
  readonly itemsMax: number;
}

/** The last backups of this agent. */
export class BackupHistory {
  /** In the order in which they ended. Points are hashes, since a point may be as long as a line. */
  #records: BackupRecord[] = [];

  /** What `encode` made. Throws where it is something else. */
  static decode(content: Buffer): BackupHistory {
    const { format, backups } = JSON.parse(content.toString()) as { format?: unknown; backups?: unknown };
    if (format !== FORMAT || !Array.isArray(backups) || !backups.every(isRecord)) {
      throw new Error(`it is no list of backups of format ${FORMAT}`);
    }
    const history = new BackupHistory();
    history.#records = backups.slice(-BACKUPS_REMEMBERED_MAX);
    return history;
  }

  /** All of it, as JSON. */
  encode(): Buffer {
    return Buffer.from(`${JSON.stringify({ format: FORMAT, backups: this.#records })}\n`);
  }

  add(record: BackupRecord): void {
    this.#records.push({
      ...record,
      sid: record.sid.slice(0, TEXT_LENGTH_MAX),
      message: record.message.slice(0, TEXT_LENGTH_MAX),
      point: record.point && hashOf(record.point),
    });
    if (this.#records.length > BACKUPS_REMEMBERED_MAX) this.#records.shift();
  }

  /** Whether the changes since a point were sent under a client's sid. */
  hasSent(sid: string, point: string): boolean {
    const hash = hashOf(point);
    return this.#records.some((record) => record.isDone && record.sid === sid && record.point === hash);
  }

  /** The newest first, by when they began. */
  find({ type, newerThanSeconds, itemsMax }: BackupQuery): BackupRecord[] {
    const found = this.#records
      .filter((record) => type === undefined || record.type === type)
      .filter(({ startedMs }) => startedMs >= newerThanSeconds * 1000)
      .reverse()
      .sort((a, b) => b.startedMs - a.startedMs);
    return itemsMax === 0 ? found : found.slice(0, itemsMax);
  }
}

/** A backup as the keys of a block. */
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
