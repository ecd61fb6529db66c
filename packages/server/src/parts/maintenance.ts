import { BinlogBackups, Clones, OneAtATime, type TidbBinlog } from '@coxswain/agents';
import { ArchiveRestores, S3Store } from '@coxswain/archive';
import { Backups, Restorer, Restores } from '@coxswain/backup';
import { type Node, systemClock, systemRandom } from '@coxswain/node';
import type { LinkTls } from '@coxswain/replication';
import type { Method } from '../grpc/call.js';
import type { Certificates } from '../process/certificates.js';
import { during } from '../process/during.js';
import { cloneAuthority } from '../process/link-certificates.js';
import { openDonorLink } from '../services/donor-link.js';
import { MaintenanceService } from '../services/maintenance-service.js';
import { mocoMethods } from '../services/moco-service.js';
import { cloneProblems } from '../services/readiness.js';
import type { Archive } from './archive.js';
import type { Shared } from './shared.js';

/** The most backups at a time; more would only share the disk and the link. */
const BACKUP_CALLS_MAX = 8;
/** The most restores at a time; more would only share the disk and the link. */
const RESTORE_CALLS_MAX = 8;

/** The backups, restores and clones of a node. A call begins each of them. */
export class Maintenance {
  readonly backups: Backups;
  readonly restores: Restores;
  readonly clones: Clones;
  readonly binlogBackups: BinlogBackups;
  readonly #archiveRestores: ArchiveRestores;
  readonly #node: Node;

  /** Opens them, and adds them to the parts of the server. Rejects with StartError. */
  static async open(
    node: Node,
    shared: Shared,
    archive: Archive | undefined,
    binlog: TidbBinlog,
  ): Promise<Maintenance> {
    const { config, log, certificates } = shared;
    const authority = await during('read clone.ca-filename', () => cloneAuthority(config, log));
    return new Maintenance(node, shared, archive, binlog, certificates.add(authority));
  }

  private constructor(
    node: Node,
    { config, log, parts, tokens, backupRate, restoreRate }: Shared,
    archive: Archive | undefined,
    binlog: TidbBinlog,
    cloneAuthority: Certificates<LinkTls> | undefined,
  ) {
    this.#node = node;
    const clock = systemClock;
    this.backups = new Backups(node, { clock, log, rate: backupRate, callsMax: BACKUP_CALLS_MAX });
    const restorer = new Restorer(node, { clock, log });
    parts.add('restores', { stop: () => restorer.settled() });
    this.restores = new Restores(node, restorer, { rate: restoreRate, callsMax: RESTORE_CALLS_MAX });
    this.#archiveRestores = new ArchiveRestores(node, restorer, {
      clock,
      archive: archive?.archiver,
      rate: restoreRate,
      callsMax: RESTORE_CALLS_MAX,
    });
    const requests = new OneAtATime(() => node.maintenance.clone.isRunning);
    const cloneToken = tokens.of('clone.token');
    this.clones = new Clones(node, {
      clock,
      log,
      requests,
      random: systemRandom,
      restorer,
      connect: (donor) => openDonorLink(donor, cloneAuthority, log),
      external: {
        address: config['clone.address'],
        get token() {
          return cloneToken.value;
        },
      },
      rate: restoreRate,
    });
    parts.add('clones', this.clones);
    this.binlogBackups = new BinlogBackups(node, {
      clock,
      log,
      requests,
      archive: archive && {
        store: archive.store,
        flush: (signal) => archive.archiver.flush(signal),
      },
      openBucket: (options) => new S3Store(options),
      followedUpTo: () => binlog.followedUpTo(),
    });
    parts.add('backups of the archive', this.binlogBackups);
  }

  /** Returns the methods of maintenance.v1 and of moco-agent's services. */
  methods(): readonly Method[] {
    const service = new MaintenanceService(this.#node, this.backups, this.restores, this.#archiveRestores);
    return [...service.methods(), ...mocoMethods(this.clones, this.binlogBackups)];
  }

  /**
   * Returns a line for each operation that failed after the call that began it was answered. Every member reports a
   * failed clone.
   */
  problems(): string[] {
    const { error, backupId } = this.binlogBackups.status;
    return [
      ...cloneProblems(this.#node),
      ...(error === undefined ? [] : [`backup "${backupId}" has failed: ${error}`]),
    ];
  }
}
