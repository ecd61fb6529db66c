import { type Readiness, Status } from '@coxswain/node';
import { health } from '@coxswain/protocol';
import { type CallContext, type Method, stream, unary } from '../grpc/call.js';
import { transportErrors } from '../grpc/errors.js';

const { HealthCheckResponse_ServingStatus: ServingStatus, HealthService: definition } = health;

/** The name by which moco-agent's form of health is asked for, and the conditions that it knows. */
const MOCO_NAME = 'moco';
const mocoConditions = ['hasIOThreadError', 'hasSQLThreadError', 'isUnderCloning'] as const;

/** How often a Watch looks whether the state has changed. */
const WATCH_INTERVAL_MS = 250;

/**
 * grpc.health.v1.Health for the whole node (the empty name) and for each service on the listener. A service
 * that needs a leader is NOT_SERVING until the node is ready, and all are while it drains; it is UNKNOWN as long as the
 * node has no cluster. Whatever is bad goes into the trailing metadata `health-reason`, as `name=bool` pairs where true is
 * bad, also where the node serves all the same: replication that fails keeps nobody from reading. The name `moco` gets
 * moco-agent's form, in which it is the text of an error (docs/operations-protocols.md §2).
 */
export class HealthService {
  readonly #nodeReadiness: () => Readiness;
  /** By name: whether the service can answer only when the node is ready. */
  readonly #services: ReadonlyMap<string, { readonly needsReadiness: boolean }>;
  #isDraining = false;

  constructor(
    nodeReadiness: () => Readiness,
    services: ReadonlyMap<string, { readonly needsReadiness: boolean }>,
  ) {
    this.#nodeReadiness = nodeReadiness;
    this.#services = services;
  }

  /** From now on nothing is SERVING. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Whether the node is ready, and while it is not, or drains, why. */
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

  /** The state now, and again whenever it has changed, until the caller leaves. */
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

  /** Answers as moco-agent does: with errors, whose text says why. */
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

/** `hasNoLeader=true, isDiskFull=false` */
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
