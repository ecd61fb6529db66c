import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { uudecode } from './uudecode.js';

/** Where the client asks, and as whom. */
export interface XtrabackupClientOptions {
  readonly port: number;
  readonly host?: string;
  /** The version line; default: that of the real client. */
  readonly version?: string;
  readonly password?: string;
}

/** One call of the client, of which ZRM makes several for a backup. */
export interface XtrabackupRequest {
  readonly level: string;
  /** Where the tar is unpacked; it is made. It is the sid, too. */
  readonly directory: string;
  /** Default: as ZRM has it for a whole backup. */
  readonly file?: string;
  /** Where an incremental backup begins: the `next-binlog` of the backup before. */
  readonly binlog?: string;
  /** Default: none is asked for, which means uuencode. */
  readonly encoding?: 'uuencode' | 'base64' | 'null';
  readonly blockBytes?: number;
  readonly inlineCompress?: string;
  /** More keys, or others in place of those that a configuration has. */
  readonly more?: Readonly<Record<string, string>>;
}

/** What came of a call. ZRM looks at the exit code alone. */
export interface XtrabackupOutcome {
  readonly exitCode: 0 | 1;
  /** What the client would log where it fails. */
  readonly error: string | undefined;
  /** The block of the answer; empty where there was none. */
  readonly block: Readonly<Record<string, string>>;
}

const ENCODINGS = {
  uuencode: 'application/x-uuencode-stream',
  base64: 'application/x-base64-stream',
  null: 'application/octet-stream',
} as const;
const BLOCK_BYTES_DEFAULT = 10_240;

/**
 * A client of the Xtrabackup agent as docs/operations-protocols.md §4 describes the real one, 0.75.1 of PalominoDB's ZRM
 * plugins: it dies without READY, reads a stream only after `status=SENDING`, takes it in the blocks of its encoding,
 * pipes it into tar, and exits with 0 for anything that it does not know.
 */
export class XtrabackupClient {
  readonly #options: XtrabackupClientOptions;

  constructor(options: XtrabackupClientOptions) {
    this.#options = options;
  }

  async run(request: XtrabackupRequest): Promise<XtrabackupOutcome> {
    mkdirSync(request.directory, { recursive: true });
    const { host = '127.0.0.1', port } = this.#options;
    const socket = createConnection({ host, port });
    const block: Record<string, string> = {};
    try {
      await once(socket, 'connect');
      socket.on('error', () => undefined);
      socket.write(this.#encode(request));
      const reader = new SocketReader(socket);
      const ready = await reader.line();
      if (!ready?.includes('READY'))
        throw new Error(`Agent did not respond properly. Got: ${ready ?? '(nothing)'}`);
      Object.assign(block, await readBlock(reader));
      if (block['status'] === 'SENDING') {
        if (request.level === '1') writeMasterInfo(request.directory, block);
        await unpack(reader, request);
      }
      return { exitCode: 0, error: undefined, block };
    } catch (error) {
      return { exitCode: 1, error: (error as Error).message, block };
    } finally {
      socket.destroy();
    }
  }

  /** The version, and the keys of a ZRM configuration among which are those of the request, in any order. */
  #encode(request: XtrabackupRequest): string {
    const { password = '', version = '0.75.1' } = this.#options;
    const {
      level,
      directory,
      encoding,
      blockBytes = BLOCK_BYTES_DEFAULT,
      inlineCompress,
      binlog = '',
    } = request;
    const pairs: Record<string, string> = {
      action: 'copy from',
      tmpdir: '/tmp',
      sid: directory,
      host: 'db1.example.com',
      user: 'backupdb',
      password,
      replication: '1',
      'backup-level': level,
      'backup-mode': 'raw',
      'backup-type': 'regular',
      'all-databases': '1',
      'backup-set': 'BackupSet',
      comment: "Don't (panic): 100%, [ok] {or} not?",
      destination: '/var/lib/mysql-zrm',
      'retention-policy': '10W',
      'copy-plugin': '/usr/share/mysql-zrm/plugins/xtrabackup-client.pl',
      'snapshot-plugin': '/usr/share/mysql-zrm/plugins/lvm-snapshot.pl',
      verbose: '1',
      'mysql-binlog-path': '',
      'xtrabackup-agent:port': String(this.#options.port),
      'xtrabackup-client:email': '',
      'xtrabackup-client:logpath': '/var/log/mysql-zrm/xtrabackup-client.log',
      'xtrabackup-client:network-failure-retry': '3',
      'xtrabackup-client:network-timeout': '30',
      'xtrabackup-client:on-network-failure': 'abort',
      'xtrabackup-client:run-apply-log': '0',
      'xtrabackup-client:stream-block-size': String(blockBytes),
      'xtrabackup-client:tar-force-ownership': '0',
      'xtrabackup-client:unpack-backup': '1',
      ...(encoding !== undefined && {
        'xtrabackup-client:stream-encoding': encoding,
        'agent-stream-encoding': ENCODINGS[encoding],
      }),
      ...(inlineCompress !== undefined && { 'xtrabackup-agent:inline-compress': inlineCompress }),
      'agent-stream-block-size': String(blockBytes),
      file: request.file ?? `${directory}/ZRM_LINKS/.`,
      binlog,
      ...request.more,
    };
    const lines = Object.entries(pairs)
      .sort(([a], [b]) => (placeOf(a, directory) < placeOf(b, directory) ? -1 : 1))
      .map(([key, value]) => `${key}=${value}\n`);
    return `${version}\n${lines.length}\n${lines.join('')}\n`;
  }
}

/** Perl's hashes have no order: here another one for each directory. */
function placeOf(key: string, directory: string): string {
  return createHash('sha256').update(`${directory} ${key}`).digest('hex');
}

async function readBlock(reader: SocketReader): Promise<Record<string, string>> {
  const count = await reader.line();
  if (count === undefined || !/^\d+$/.test(count)) throw new Error(`Bad input: ${count ?? '(nothing)'}`);
  const block: Record<string, string> = {};
  for (let line = 0; line < Number(count); line++) {
    const text = await reader.line();
    const split = text?.indexOf('=') ?? -1;
    if (text === undefined || split < 0) throw new Error(`no key=value: ${text ?? '(nothing)'}`);
    block[text.slice(0, split)] = text.slice(split + 1);
  }
  await reader.line();
  return block;
}

function writeMasterInfo(directory: string, block: Readonly<Record<string, string>>): void {
  const lines = Object.keys(block)
    .filter((key) => key !== 'status')
    .sort()
    .map((key) => `${key}=${block[key] || 'NULL'}`);
  writeFileSync(join(directory, 'master.info'), lines.join('\n'));
}

/** Pipes the stream into tar, through the inline compression's `-d` where there is one. Throws where tar fails. */
async function unpack(reader: SocketReader, request: XtrabackupRequest): Promise<void> {
  const decompress = request.inlineCompress === undefined ? '' : `${request.inlineCompress} -d | `;
  // Zero blocks are ignored in a full backup only: that is how innobackupex makes them.
  const letters = request.level === '0' ? '-xiC' : '-xhsC';
  const command = `${decompress}tar --no-same-owner --no-same-permissions ${letters} "$0"`;
  const tar = spawn('sh', ['-c', command, request.directory], { stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  // A tar that has failed reads nothing more.
  tar.stdin.on('error', () => undefined);
  const closed = once(tar, 'close');
  for (;;) {
    const piece = await readPiece(reader, request);
    // Perl's loop ends at what is false to it: nothing, and a single 0.
    if (piece === undefined || piece.length === 0 || piece.toString('latin1') === '0') break;
    if (!tar.stdin.write(piece)) await Promise.race([once(tar.stdin, 'drain'), closed]);
  }
  tar.stdin.end();
  const [exitCode] = (await closed) as [number | null];
  if (exitCode !== 0) throw new Error(`tar pipe failed (${exitCode}): ${errors.trim()}`);
}

/** What the client reads at a time, decoded; undefined at the end. */
async function readPiece(reader: SocketReader, request: XtrabackupRequest): Promise<Buffer | undefined> {
  const { encoding = 'uuencode', blockBytes = BLOCK_BYTES_DEFAULT } = request;
  if (encoding === 'null') return reader.bytes(blockBytes);
  if (encoding === 'base64') {
    const text = await reader.bytes(Math.floor(blockBytes / 57) * 77);
    if (!/^(?:[A-Za-z0-9+/]{76}\n)*(?:[A-Za-z0-9+/]{0,76}={0,2}\n)?$/.test(text.toString('latin1'))) {
      throw new Error('these are no lines of base64');
    }
    return Buffer.from(text.toString('latin1'), 'base64');
  }
  const head = await reader.bytes(4);
  if (head.length === 0) return undefined;
  const length = head.length < 4 ? Number.POSITIVE_INFINITY : head.readUInt32BE();
  // The client logs this and takes it for the end: only tar can fail now.
  if (length > 1.38 * blockBytes) return undefined;
  const text = await reader.bytes(length);
  return text.length < length ? undefined : uudecode(text);
}

/** Reads a socket as Perl's buffered handles do: lines, and so many bytes or what is left. */
class SocketReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #held = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#pieces = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** The next line without its end; undefined where there is none. */
  async line(): Promise<string | undefined> {
    while (!this.#held.includes('\n')) if (!(await this.#more())) break;
    if (this.#held.length === 0) return undefined;
    const end = this.#held.indexOf('\n');
    const line = this.#held.toString('utf8', 0, end < 0 ? this.#held.length : end);
    this.#held = end < 0 ? Buffer.alloc(0) : this.#held.subarray(end + 1);
    return line;
  }

  /** So many bytes; fewer at the end. */
  async bytes(count: number): Promise<Buffer> {
    const pieces = [this.#held];
    for (let bytes = this.#held.length; bytes < count; ) {
      this.#held = Buffer.alloc(0);
      if (!(await this.#more())) break;
      pieces.push(this.#held);
      bytes += this.#held.length;
    }
    const all = Buffer.concat(pieces);
    this.#held = all.subarray(count);
    return all.subarray(0, count);
  }

  /** False at the end, which a connection that is cut has, too. */
  async #more(): Promise<boolean> {
    const { done, value } = await this.#pieces.next().catch(() => ({ done: true, value: undefined }));
    if (done || value === undefined) return false;
    this.#held = Buffer.concat([this.#held, value]);
    return true;
  }
}
