import { HeldMemory } from '@coxswain/http2';
import { systemClock } from '@coxswain/node';
import { type Log, RateLimit } from '@coxswain/runtime';
import type { Config } from '../config/config-schema.js';
import { memoryLimits } from '../grpc/grpc-listener.js';
import { Tokens } from '../grpc/tokens.js';
import { FailedHandshakes } from '../metrics/failed-handshakes.js';
import { GrpcMetrics } from '../metrics/grpc-metrics.js';
import { CertificatesInUse } from '../process/certificates-in-use.js';
import type { EventJournal } from '../process/event-journal.js';
import { Parts } from './parts.js';
import { openTracing, type Tracing } from './tracing.js';

/** The surroundings of a server: the operator's configuration, the log, and the end of the process. */
export interface ServerProcess {
  readonly config: Config;
  /** The kind of cluster for which the node was started. A follower cluster may have been promoted since. */
  readonly role: 'leader' | 'follower';
  /** Takes what happens to this node. */
  readonly journal: EventJournal;
  /** Ends the process: an invariant is broken, a disk cannot be trusted, or the data must not be used here (D6). */
  readonly fatal: (error: unknown) => void;
}

/** The objects that the parts of one server share. They are made before any part is opened. */
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
  /** Records spans of requests; undefined when no receiver of traces is configured. */
  readonly tracing: Tracing | undefined;
  /** The counters of the calls of all gRPC listeners. */
  readonly metrics = new GrpcMetrics();
  /** The counts of the TLS handshakes that failed, of all listeners. */
  readonly failedHandshakes = new FailedHandshakes();
  /** The limit on the memory that the calls of all gRPC listeners hold. */
  readonly memory = new HeldMemory(memoryLimits);
  /** The limit on the rate of everything that sends backups, together. */
  readonly backupRate: RateLimit;
  /** The limit on the rate of everything that receives restores, together. */
  readonly restoreRate: RateLimit;

  constructor({ config, role, journal, fatal }: ServerProcess) {
    this.config = config;
    this.role = role;
    this.journal = journal;
    this.log = journal.log;
    this.fatal = fatal;
    this.tokens = new Tokens(config);
    this.tracing = openTracing(this, this.parts);
    this.backupRate = new RateLimit(systemClock, config['maintenance.backup-bytes-per-second']);
    this.restoreRate = new RateLimit(systemClock, config['maintenance.restore-bytes-per-second']);
  }
}
