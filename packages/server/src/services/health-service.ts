import { type Readiness, Status } from '@coxswain/node';
import { health } from '@coxswain/protocol';
import { type CallContext, type Method, stream, unary } from '../grpc/call.js';
import { transportErrors } from '../grpc/errors.js';

const { HealthCheckResponse_ServingStatus: ServingStatus, HealthService: definition } = health;

/** The service name by which clients ask for moco-agent's form of health, and the conditions of that form. */
const MOCO_NAME = 'moco';
const mocoConditions = ['hasIOThreadError', 'hasSQLThreadError', 'isUnderCloning'] as const;

/** The interval at which a Watch checks whether the state has changed. */
const WATCH_INTERVAL_MS = 250;

/**
 * Serves grpc.health.v1.Health for the whole node (the empty name) and for each service on the listener. A service that
 * needs a leader is NOT_SERVING until the node is ready, and all services are while the node drains; it is UNKNOWN as
 * long as the node has no cluster. When a service is not SERVING or a condition is bad, the trailing metadata
 * `health-reason` has all conditions as pairs `name=bool`, in which true is bad. So it is also sent when the node
 * serves all the same: replication that fails prevents nobody from reading. The name `moco` gets moco-agent's form, in
 * which the conditions are the text of an error (docs/operations-protocols.md §2).
 */
export class HealthService {
  readonly #nodeReadiness: () => Readiness;
  /** The services by name, and whether each can only answer when the node is ready. */
  readonly #services: ReadonlyMap<string, { readonly needsReadiness: boolean }>;
  #isDraining = false;

  constructor(
    nodeReadiness: () => Readiness,
    services: ReadonlyMap<string, { readonly needsReadiness: boolean }>,
  ) {
    this.#nodeReadiness = nodeReadiness;
    this.#services = services;
  }

  /** Makes every service NOT_SERVING from now on. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Returns whether the node is ready, and the conditions that keep it from that. */
  readiness(): Readiness {
    const readiness = this.#nodeReadiness();
    if (!this.#isDraining) return readiness;
    return { isReady: false, conditions: { ...readiness.conditions, isShuttingDown: true } };
  }

  check(request: health.HealthCheckRequest, call: CallContext): health.HealthCheckResponse {
    if (request.service === MOCO_NAME) return this.#checkAsMoco();
    const status = this.#statusOf(request.service);
    if (status === ServingStatus.SERVICE_UNKNOWN) throw transportErrors.serviceUnknown();
    const readiness = this.readiness();
    if (status !== ServingStatus.SERVING || Object.values(readiness.conditions).includes(true)) {
      call.setTrailer('health-reason', formatConditions(readiness));
    }
    return { status };
  }

  /** Yields the state now, and again whenever it has changed, until the caller leaves or the node drains. */
  async *watch(
    request: health.HealthCheckRequest,
    call: CallContext,
  ): AsyncGenerator<health.HealthCheckResponse> {
    let last: health.HealthCheckResponse_ServingStatus | undefined;
    while (!call.signal.aborted) {
      const status = this.#statusOf(request.service);
      if (status !== last) yield { status };
      last = status;
      if (this.#isDraining) return;
      await sleep(WATCH_INTERVAL_MS, call.signal);
    }
  }

  list(): health.HealthListResponse {
    const names = ['', ...this.#services.keys()];
    return { statuses: new Map(names.map((name) => [name, { status: this.#statusOf(name) }])) };
  }

  methods(): readonly Method[] {
    return [
      unary(definition.check, (request, call) => this.check(request, call)),
      stream(definition.watch, (request, call) => this.watch(request, call)),
      unary(definition.list, () => this.list()),
    ];
  }

  /** Answers as moco-agent does: with an error whose text has the conditions. */
  #checkAsMoco(): health.HealthCheckResponse {
    const { isReady, conditions } = this.readiness();
    const asked = Object.fromEntries(mocoConditions.map((name) => [name, conditions[name] ?? false]));
    const text = formatConditions({ isReady, conditions: asked });
    if (Object.values(asked).includes(true)) throw transportErrors.notHealthy(Status.Unavailable, text);
    if (isReady) return { status: ServingStatus.SERVING };
    throw transportErrors.notHealthy(Status.Internal, formatConditions({ isReady, conditions }));
  }

  #statusOf(name: string): health.HealthCheckResponse_ServingStatus {
    const service = name === '' || name === MOCO_NAME ? { needsReadiness: true } : this.#services.get(name);
    if (!service) return ServingStatus.SERVICE_UNKNOWN;
    if (this.#isDraining) return ServingStatus.NOT_SERVING;
    if (!service.needsReadiness) return ServingStatus.SERVING;
    const { isReady, conditions } = this.#nodeReadiness();
    if (conditions['hasNoCluster']) return ServingStatus.UNKNOWN;
    return isReady ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}

/** Returns the conditions as text: `hasNoLeader=true, isDiskFull=false`. */
export function formatConditions(readiness: Readiness): string {
  return Object.entries(readiness.conditions)
    .map(([name, isBad]) => `${name}=${isBad}`)
    .join(', ');
}

function sleep(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, durationMs);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
