import { HeldMemory } from '@coxswain/http2';
import { systemClock } from '@coxswain/node';
import { type Log, RateLimit } from '@coxswain/runtime';
import type { Config } from '../config/config-schema.js';
import { memoryLimits } from '../grpc/grpc-listener.js';
import { Tokens } from '../grpc/tokens.js';
import { GrpcMetrics } from '../metrics/grpc-metrics.js';
import { CertificatesInUse } from '../process/certificates-in-use.js';
import type { EventJournal } from '../process/event-journal.js';
import { Parts } from './parts.js';

/** The process of a server: what the operator configured, and whom to tell. */
export interface ServerProcess {
  readonly config: Config;
  /** Whether the node was started for a leader cluster or for a follower cluster, which may have been promoted since. */
  readonly role: 'leader' | 'follower';
  /** Takes what happens to this node. */
  readonly journal: EventJournal;
  /** Ends the process: an invariant is broken, a disk cannot be trusted, or the data must not be used here (D6). */
  readonly fatal: (error: unknown) => void;
}

/** What the parts of one server share. It is made before any of them is opened. */
export class Shared implements ServerProcess {
  readonly config: Config;
  readonly role: 'leader' | 'follower';
  readonly journal: EventJournal;
  /** The journal's, for the parts that only report. */
  readonly log: Log;
  readonly fatal: (error: unknown) => void;
  readonly parts = new Parts();
  readonly certificates = new CertificatesInUse();
  readonly tokens: Tokens;
  /** Counts the calls of all gRPC listeners. */
  readonly metrics = new GrpcMetrics();
  /** Bounds what the calls of all gRPC listeners hold in memory. */
  readonly memory = new HeldMemory(memoryLimits);
  /** Bounds all that sends backups, together. */
  readonly backupRate: RateLimit;
  /** Bounds all that takes restores, together. */
  readonly restoreRate: RateLimit;

  constructor({ config, role, journal, fatal }: ServerProcess) {
    this.config = config;
    this.role = role;
    this.journal = journal;
    this.log = journal.log;
    this.fatal = fatal;
    this.tokens = new Tokens(config);
    this.backupRate = new RateLimit(systemClock, config['maintenance.backup-bytes-per-second']);
    this.restoreRate = new RateLimit(systemClock, config['maintenance.restore-bytes-per-second']);
  }
}
