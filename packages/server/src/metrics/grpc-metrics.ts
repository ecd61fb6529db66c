import { SLOW_CALL_MS } from '../grpc/slow-calls.js';

/** The names of gRPC's status codes in Go's gRPC metrics, by number; dashboards match on them. */
export const codeNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const;

/** The upper bounds of the histogram's buckets in seconds: Prometheus's defaults, and finer ones below. */
export const BOUNDS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

/**
 * Counts the calls of one method, in plain numbers: a labelled counter of a metrics library costs about as much as
 * answering a point read.
 */
export class MethodMetrics {
  readonly service: string;
  readonly method: string;
  started = 0;
  messagesReceived = 0;
  messagesSent = 0;
  readonly handled = new Float64Array(codeNames.length);
  readonly buckets = new Float64Array(BOUNDS_SECONDS.length);
  secondsSum = 0;
  /** The calls that took `SLOW_CALL_MS` or longer. */
  slow = 0;

  constructor(
    path: string,
    readonly type: 'unary' | 'server_stream' | 'client_stream' | 'bidi_stream',
  ) {
    const [, service = '', method = ''] = path.split('/');
    this.service = service;
    this.method = method;
  }

  /** Counts a call that begins at `nowMs`, and returns that time. */
  begin(nowMs: number): number {
    this.started++;
    return nowMs;
  }

  /** Counts a call that began at `beganAtMs` and has ended with a gRPC status code. */
  end(beganAtMs: number, nowMs: number, code: number): void {
    this.handled[code]!++;
    const seconds = (nowMs - beganAtMs) / 1000;
    this.secondsSum += seconds;
    if (nowMs - beganAtMs >= SLOW_CALL_MS) this.slow++;
    for (let i = 0; i < BOUNDS_SECONDS.length; i++) {
      if (seconds <= BOUNDS_SECONDS[i]!) {
        this.buckets[i]!++;
        return;
      }
    }
  }
}

/** The counters of all methods. A method that several listeners serve is counted once. */
export class GrpcMetrics {
  readonly #methods = new Map<string, MethodMetrics>();

  method(path: string, type: MethodMetrics['type']): MethodMetrics {
    let metrics = this.#methods.get(path);
    if (!metrics) {
      metrics = new MethodMetrics(path, type);
      this.#methods.set(path, metrics);
    }
    return metrics;
  }

  /** Describes the metrics grpc_server_* of go-grpc-prometheus, which Regatta's dashboards and alerts read. */
  describe(): MetricJson[] {
    return describeMethods([...this.#methods.values()]);
  }
}

/** One value of a metric. */
export interface MetricValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** The name in its place of a part of a histogram: its buckets, sum and count. */
  readonly metricName?: string;
}

/** A metric, as `writeMetrics` prints it. */
export interface MetricJson {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** The values. Those of thousands of tables are made while they are read, so that they cost no turn of their own. */
  readonly values: Iterable<MetricValue>;
}

function describeMethods(methods: readonly MethodMetrics[]): MetricJson[] {
  const started: MetricValue[] = [];
  const handled: MetricValue[] = [];
  const received: MetricValue[] = [];
  const sent: MetricValue[] = [];
  const seconds: MetricValue[] = [];
  const slow: MetricValue[] = [];
  for (const metrics of methods) {
    const labels = { grpc_type: metrics.type, grpc_service: metrics.service, grpc_method: metrics.method };
    started.push({ labels, value: metrics.started });
    received.push({ labels, value: metrics.messagesReceived });
    sent.push({ labels, value: metrics.messagesSent });
    if (metrics.type === 'unary') {
      slow.push({
        labels: { grpc_service: metrics.service, grpc_method: metrics.method },
        value: metrics.slow,
      });
    }
    let total = 0;
    metrics.handled.forEach((value, code) => {
      total += value;
      if (value > 0 || code === 0)
        handled.push({ labels: { ...labels, grpc_code: codeNames[code]! }, value });
    });
    let cumulative = 0;
    const metricName = 'grpc_server_handling_seconds';
    BOUNDS_SECONDS.forEach((le, index) => {
      cumulative += metrics.buckets[index]!;
      seconds.push({ metricName: `${metricName}_bucket`, labels: { ...labels, le }, value: cumulative });
    });
    seconds.push({ metricName: `${metricName}_bucket`, labels: { ...labels, le: '+Inf' }, value: total });
    seconds.push({ metricName: `${metricName}_sum`, labels, value: metrics.secondsSum });
    seconds.push({ metricName: `${metricName}_count`, labels, value: total });
  }
  return [
    {
      name: 'grpc_server_started_total',
      help: 'Calls that clients began.',
      type: 'counter',
      values: started,
    },
    {
      name: 'grpc_server_handled_total',
      help: 'Calls that ended, by status code.',
      type: 'counter',
      values: handled,
    },
    {
      name: 'grpc_server_msg_received_total',
      help: 'Messages that clients sent in calls.',
      type: 'counter',
      values: received,
    },
    {
      name: 'grpc_server_msg_sent_total',
      help: 'Messages that were sent to clients in calls.',
      type: 'counter',
      values: sent,
    },
    {
      name: 'grpc_server_handling_seconds',
      help: 'Seconds from the beginning of a call to its end.',
      type: 'histogram',
      values: seconds,
    },
    {
      name: 'coxswain_slow_requests_total',
      help: 'Calls with one request and one answer that took 1 s or longer.',
      type: 'counter',
      values: slow,
    },
  ];
}
