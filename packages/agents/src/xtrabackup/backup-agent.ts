import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ApiError, counted, type SmallFiles } from '@coxswain/node';
import { type Log, pause, type RateLimit } from '@coxswain/runtime';
import { agentEvents } from '../events.js';
import { gzipped } from '../gzip.js';
import { AgentBackup, type AgentNode } from './agent-backup.js';
import { AgentConnection, type AgentConnectionOptions, ConnectionLostError } from './agent-connection.js';
import { type AgentRequestOptions, type BackupRequest, readAgentRequest } from './agent-request.js';
import { BackupHistory, type BackupQuery, type BackupRecord, describeBackup } from './backup-history.js';
import { AgentRequestError, encodeBlock, type KeyValues } from './key-value-block.js';
import { LogGoneError } from './log-records.js';
import { makeEncoder } from './stream-encoding.js';

const READY = 'READY\n';
/** The file in the node's data directory that holds the history of backups. */
const HISTORY_FILE = 'backup-agent.json';
/** Milliseconds within which all tables must be opened. */
const OPEN_MS = 60_000;
/** Bytes that are encoded before other work on this event loop gets a turn. */
const ENCODE_BYTES_MAX = 64 * 1024;

/** The limits of the agent, and the parts of the process that it uses. */
export interface BackupAgentOptions extends AgentRequestOptions, AgentConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Log;
  readonly connectionsMax: number;
  /** Backups at the same time: each reads all tables. */
  readonly backupsMax: number;
  /** The limit of bytes per second that all backups of this node share. */
  readonly rate: RateLimit;
  /** Stores the history of backups, so that it outlives the process. */
  readonly files: Pick<SmallFiles, 'read' | 'replace'>;
  /**
   * The least milliseconds between the block and the end of the stream, for the real client. That client has a shell
   * create a file once it has read the block, opens the file when the stream has ended, and fails when the file is not
   * there yet.
   */
  readonly streamMsMin: number;
}

/** The limits that a node sets. */
export const defaultBackupAgentLimits = {
  silenceMs: 30_000,
  requestMs: 120_000,
  stallMs: 120_000,
  connectionsMax: 64,
  backupsMax: 2,
  streamMsMin: 500,
} as const;

/**
 * The agent's open connections and running backups, and counters since the process started: requests done, refused and
 * failed, and bytes sent of encoded streams.
 */
export interface BackupAgentStatus {
  readonly connections: number;
  readonly running: number;
  readonly done: number;
  readonly refused: number;
  readonly failed: number;
  readonly bytesSent: number;
}

/**
 * Speaks the Xtrabackup agent protocol (docs/operations-protocols.md §4). A connection carries one request, which is
 * answered by `READY`, a block, and for a backup the encoded tar of a backup directory. A refusal is a block alone,
 * without READY: the real client exits with 0 whatever a block says. The protocol has no encryption, so it belongs on a
 * loopback address or a private network.
 */
export class BackupAgent {
  readonly #node: AgentNode;
  readonly #options: BackupAgentOptions;
  readonly #server: Server;
  readonly #connections = new Set<AgentConnection>();
  /** Connections beyond `connectionsMax`, held until their clients have read the refusal. */
  readonly #surplus = new Set<AgentConnection>();
  #history = new BackupHistory();
  /** Settles when every version of the history so far has been written, one after the other. */
  #historyWritten: Promise<void> = Promise.resolve();
  readonly #counters = { running: 0, done: 0, refused: 0, failed: 0, bytesSent: 0 };

  constructor(node: AgentNode, options: BackupAgentOptions) {
    this.#node = node;
    this.#options = options;
    // A client may end its side after the request and still want the answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    // Leaves room to refuse connections beyond `connectionsMax`, as many again at the same time.
    this.#server.maxConnections = 2 * options.connectionsMax;
  }

  /** The address that the agent listens on; with port 0 asked for, the port that the system chose. */
  get address(): { readonly host: string; readonly port: number } {
    const bound = this.#server.address() as AddressInfo | null;
    return { host: this.#options.host, port: bound?.port ?? this.#options.port };
  }

  get status(): BackupAgentStatus {
    return { connections: this.#connections.size, ...this.#counters };
  }

  /** Reads the history and begins to listen. Rejects with the system's error when the address cannot be bound. */
  async listen(): Promise<void> {
    const { host, port, log } = this.#options;
    await this.#readHistory();
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.on('error', ({ message }) => {
      log(agentEvents.backupAgentAcceptFailed, { error: message });
    });
    log(agentEvents.backupAgentOpened, this.address);
  }

  /** Stops listening and breaks off the backups under way: a tar without a manifest is not a backup. */
  async close(): Promise<void> {
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : Promise.resolve();
    for (const connection of [...this.#connections, ...this.#surplus]) connection.breakOff('the node stops');
    await closed;
    await Promise.all(Array.from(this.#connections, ({ ended }) => ended));
    await this.#historyWritten;
  }

  async #readHistory(): Promise<void> {
    const { files, log } = this.#options;
    try {
      const content = await files.read(HISTORY_FILE);
      if (content !== undefined) this.#history = BackupHistory.decode(content);
    } catch (error) {
      // Backups work without it.
      log(agentEvents.backupHistoryUnread, { file: HISTORY_FILE, reason: String(error) });
    }
  }

  #remember(record: BackupRecord): void {
    const { files, log } = this.#options;
    this.#history.add(record);
    this.#historyWritten = this.#historyWritten
      .then(() => files.replace(HISTORY_FILE, this.#history.encode()))
      .catch((error: unknown) => {
        log(agentEvents.backupHistoryUnwritten, {
          file: HISTORY_FILE,
          reason: String(error),
        });
      });
  }

  #accept(socket: Socket): void {
    const { connectionsMax } = this.#options;
    const connection = new AgentConnection(socket, this.#options, (pairs) => this.#answer(connection, pairs));
    const isSurplus = this.#connections.size >= connectionsMax;
    const among = isSurplus ? this.#surplus : this.#connections;
    among.add(connection);
    void connection.ended.then(() => among.delete(connection));
    if (!isSurplus) return;
    this.#counters.refused++;
    connection.refuse(
      `${counted(connectionsMax, 'connection is', 'connections are')} open: try again when one is closed`,
    );
  }

  async #answer(connection: AgentConnection, pairs: KeyValues | AgentRequestError): Promise<void> {
    const { log } = this.#options;
    const { peer } = connection;
    try {
      if (pairs instanceof AgentRequestError) throw pairs;
      const request = readAgentRequest(pairs, this.#options);
      if (request.action === 'copy from') await this.#backUp(connection, request);
      else if (request.action === 'monitor') await this.#report(connection, request.query);
      else await this.#sayNothingIsDue(connection);
      this.#counters.done++;
    } catch (error) {
      const isRefused = error instanceof AgentRequestError || error instanceof ApiError;
      if (isRefused && !connection.hasBegun) {
        this.#counters.refused++;
        log(agentEvents.agentRequestRefused, { peer, reason: error.message });
        connection.refuse(error.message);
        return;
      }
      this.#counters.failed++;
      log(agentEvents.agentBackupFailed, {
        peer,
        reason: isExplained(error) ? error.message : String(error),
      });
      if (!connection.hasBegun) connection.refuse(explanationOf(error));
      else if (error instanceof ConnectionLostError || !connection.hasEnded) connection.breakOff();
    }
  }

  /**
   * Answers READY and `status=OK` to a request for which nothing is due. ZRM asks once too often: at level 0 for a path
   * that is not that of the whole backup, and at level 1 for changes that were already sent under the same sid.
   */
  async #sayNothingIsDue(connection: AgentConnection): Promise<void> {
    await connection.send(READY + encodeBlock({ status: 'OK' }));
    await connection.finish();
    this.#options.log(agentEvents.agentNothingDue, { peer: connection.peer });
  }

  /** Sends one block for each backup that the query selects, at the client's pace. */
  async #report(connection: AgentConnection, query: BackupQuery): Promise<void> {
    await connection.send(READY);
    for (const record of this.#history.find(query)) {
      await connection.send(encodeBlock(describeBackup(record)));
    }
    await connection.finish();
  }

  async #backUp(connection: AgentConnection, request: BackupRequest): Promise<void> {
    const { log, clock, backupsMax } = this.#options;
    const { sid, since, point } = request;
    if (sid !== undefined && point !== undefined && this.#history.hasSent(sid, point)) {
      await this.#sayNothingIsDue(connection);
      return;
    }
    if (this.#counters.running >= backupsMax) {
      throw new AgentRequestError(
        `${counted(backupsMax, 'backup is', 'backups are')} under way: try again when one is done`,
      );
    }
    this.#counters.running++;
    const startedMs = clock.nowMs();
    const sent = { bytes: 0 };
    let backup: AgentBackup | undefined;
    let failure: unknown;
    try {
      const call = { deadlineMs: clock.monotonicMs() + OPEN_MS };
      backup = await AgentBackup.open(this.#node, request, { clock, call, signal: connection.lost });
      await this.#send(connection, backup, request, sent);
      log(agentEvents.agentBackupSent, { peer: connection.peer, ...backup.tableCounts });
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      this.#counters.running--;
      backup?.close();
      this.#remember({
        sid: sid ?? backup?.sid ?? '',
        type: since === undefined ? 'full' : 'incremental',
        startedMs,
        endedMs: clock.nowMs(),
        sizeBytes: sent.bytes,
        fileCount: backup?.fileCount ?? 0,
        isDone: failure === undefined,
        message: failure === undefined ? summaryOf(backup!) : explanationOf(failure),
        point: sid === undefined ? undefined : point,
      });
    }
  }

  /**
   * Sends READY, the block and the stream. Counts in `sent` the bytes of the tar, compressed if the client asked for
   * that.
   */
  async #send(
    connection: AgentConnection,
    backup: AgentBackup,
    { encoding, isGzipped, isFromZrm }: BackupRequest,
    sent: { bytes: number },
  ): Promise<void> {
    const { rate, clock, streamMsMin } = this.#options;
    const { sid } = backup;
    const write = async (bytes: Buffer): Promise<void> => {
      if (bytes.length === 0) return;
      await rate.pay(bytes.length, connection.lost);
      await connection.send(bytes);
      this.#counters.bytesSent += bytes.length;
    };
    const encoder = makeEncoder(encoding);
    await connection.send(
      READY +
        encodeBlock({
          status: 'SENDING',
          msg: summaryOf(backup),
          // Both spellings: one as ZRM's index of backups has it, the other as its client has it.
          ...(sid !== undefined && { sid, 'next-binlog': sid, next_binlog: sid }),
        }),
    );
    const endsNotBeforeMs = clock.monotonicMs() + (isFromZrm ? streamMsMin : 0);
    try {
      const tar = backup.tar();
      for await (const chunk of isGzipped ? gzipped(tar) : tar) {
        for (let at = 0; at < chunk.length; at += ENCODE_BYTES_MAX) {
          await write(encoder.push(chunk.subarray(at, at + ENCODE_BYTES_MAX)));
        }
        sent.bytes += chunk.length;
      }
      await write(encoder.end());
      await pause(clock, Math.max(0, endsNotBeforeMs - clock.monotonicMs()), connection.lost);
    } catch (error) {
      if (error instanceof ConnectionLostError) throw error;
      // This flushes the rest; the tar still ends within a file, so no reader takes it for complete.
      await write(encoder.end());
      // In uuencode the client takes such a block for one that is too long. In the other encodings it would be content.
      if (encoding.name === 'uuencode') connection.refuse(explanationOf(error));
      else connection.cut();
      throw error;
    }
    await connection.finish();
  }
}

function summaryOf(backup: AgentBackup): string {
  const { full, incremental } = backup.tableCounts;
  const what = `sending ${counted(full, 'table')} in full and the changes of ${incremental}`;
  return backup.sid === undefined ? `${what}; they are too many for a sid` : what;
}

/** Whether an error's text is meant for the client. The texts of all others go to the log. */
function isExplained(error: unknown): error is Error {
  return (
    error instanceof AgentRequestError ||
    error instanceof ApiError ||
    error instanceof LogGoneError ||
    error instanceof ConnectionLostError
  );
}

function explanationOf(error: unknown): string {
  return isExplained(error) ? error.message : 'the backup could not be made: see the log of the node';
}
