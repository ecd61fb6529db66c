import { ApiError, type NodeApi, type Readiness, Status } from '@coxswain/node';
import { service as definition } from 'grpc-health-check';
import { type CallContext, type Method, type MethodDefinition, stream, unary } from './call.js';

type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
interface HealthRequest {
  readonly service: string;
}
interface HealthResponse {
  readonly status: ServingStatus;
}

/** How often a Watch looks whether the state has changed. */
const watchIntervalMs = 250;

/**
 * grpc.health.v1.Health for the whole node (the empty name) and for each service on the listener. A service
 * that needs a leader is NOT_SERVING until the node is ready, and all are while it drains. The reason goes
 * into the trailing metadata `health-reason`, as `name=bool` pairs where true is bad
 * (operations-protocols.md §2).
 */
export class HealthService {
  readonly #node: Pick<NodeApi, 'readiness'>;
  /** By name: whether the service can answer only when the node is ready. */
  readonly #services: ReadonlyMap<string, { readonly needsReadiness: boolean }>;
  #isDraining = false;

  constructor(
    node: Pick<NodeApi, 'readiness'>,
    services: ReadonlyMap<string, { readonly needsReadiness: boolean }>,
  ) {
    this.#node = node;
    this.#services = services;
  }

  /** From now on nothing is SERVING. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Whether the node is ready, and while it is not, or drains, why. */
  readiness(): Readiness {
    const readiness = this.#node.readiness();
    if (!this.#isDraining) return readiness;
    return { isReady: false, conditions: { ...readiness.conditions, isShuttingDown: true } };
  }

  check(request: HealthRequest, call: CallContext): HealthResponse {
    const status = this.#statusOf(request.service);
    if (status === 'SERVICE_UNKNOWN') throw new ApiError(Status.NotFound, 'unknown service');
    if (status === 'NOT_SERVING') call.setTrailer('health-reason', formatConditions(this.readiness()));
    return { status };
  }

  /** The state now, and again whenever it has changed, until the caller leaves. */
  async *watch(request: HealthRequest, call: CallContext): AsyncGenerator<HealthResponse> {
    let last: ServingStatus | undefined;
    while (!call.signal.aborted) {
      const status = this.#statusOf(request.service);
      if (status !== last) yield { status };
      last = status;
      if (this.#isDraining) return;
      await sleep(watchIntervalMs, call.signal);
    }
  }

  list(): { statuses: Record<string, HealthResponse> } {
    const statuses: Record<string, HealthResponse> = {};
    for (const name of ['', ...this.#services.keys()]) {
      statuses[name] = { status: this.#statusOf(name) };
    }
    return { statuses };
  }

  methods(): readonly Method[] {
    const methods = definition as unknown as {
      Check: MethodDefinition<HealthRequest, HealthResponse>;
      Watch: MethodDefinition<HealthRequest, HealthResponse>;
      List: MethodDefinition<unknown, { statuses: Record<string, HealthResponse> }>;
    };
    return [
      unary(methods.Check, (request, call) => this.check(request, call)),
      stream(methods.Watch, (request, call) => this.watch(request, call)),
      unary(methods.List, () => this.list()),
    ];
  }

  #statusOf(name: string): ServingStatus {
    const service = name === '' ? { needsReadiness: true } : this.#services.get(name);
    if (!service) return 'SERVICE_UNKNOWN';
    const isServing = !this.#isDraining && (!service.needsReadiness || this.#node.readiness().isReady);
    return isServing ? 'SERVING' : 'NOT_SERVING';
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
