import type { Clock, Log, Span } from '@coxswain/runtime';
import { serverEvents } from '../events.js';
import type { MetricJson } from '../metrics/grpc-metrics.js';
import { type SpanSink, unixNanos } from './otlp-tracer.js';

/** The options of an exporter. */
export interface OtlpExporterOptions {
  /** The URL of an OTLP receiver over HTTP; `/v1/traces` is added unless it ends so. */
  readonly endpoint: string;
  /** What describes this process to the receiver, such as `service.name`. */
  readonly resource: Readonly<Record<string, string | number>>;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The spans that wait to be sent, at most; further ones are dropped and counted. */
const WAITING_MAX = 8_192;
/** The spans of one request. */
const BATCH_MAX = 512;
/** The time in milliseconds for which spans wait for more to come. */
const GATHER_MS = 1_000;
/** The time in milliseconds that the receiver has to answer. */
const REQUEST_MS = 10_000;
/** The least time in milliseconds between two log lines about a receiver that takes nothing. */
const LOG_INTERVAL_MS = 60_000;
const PATH = '/v1/traces';

/** OTLP's numbers for kinds of spans and for the status of one that failed. */
const kinds = { internal: 1, server: 2, consumer: 5 } as const;
const STATUS_ERROR = 2;

/**
 * Sends spans to an OTLP receiver, as JSON over HTTP (OTLP 1.x, "OTLP/HTTP"). A receiver that is slow or away costs
 * spans and nothing else: they are dropped, counted, and a warning says so once a minute.
 *
 * It is not OpenTelemetry's exporter: that one, with its SDK, takes 136 ms to load and 16 MB of memory (28 MB on the
 * disk, twelve packages), for what is sent here in one function.
 */
export class OtlpExporter implements SpanSink {
  readonly #options: OtlpExporterOptions;
  readonly #url: string;
  #waiting: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #loggedMs = Number.NEGATIVE_INFINITY;
  #exported = 0;
  #dropped = 0;
  #isClosed = false;

  constructor(options: OtlpExporterOptions) {
    this.#options = options;
    const base = options.endpoint.replace(/\/+$/u, '');
    this.#url = base.endsWith(PATH) ? base : base + PATH;
  }

  add(span: Span): void {
    if (this.#isClosed || this.#waiting.length >= WAITING_MAX) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= BATCH_MAX) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), GATHER_MS).unref();
  }

  /** Sends what waits, and takes nothing more. */
  async close(): Promise<void> {
    this.#send();
    this.#isClosed = true;
    await this.#sending;
    this.#send();
    await this.#sending;
    clearTimeout(this.#timer);
  }

  /** Describes for Prometheus the spans that were sent and dropped. */
  describe(): MetricJson {
    return {
      name: 'coxswain_tracing_spans_total',
      help: 'Spans of traces, by outcome: sent to the receiver, or dropped because it was slow, away or did not take them.',
      type: 'counter',
      values: [
        { labels: { outcome: 'sent' }, value: this.#exported },
        { labels: { outcome: 'dropped' }, value: this.#dropped },
      ],
    };
  }

  #send(): void {
    if (this.#sending !== undefined || this.#waiting.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#waiting.splice(0, BATCH_MAX);
    this.#sending = this.#post(batch).then((reason) => {
      this.#sending = undefined;
      if (reason === undefined) this.#exported += batch.length;
      else this.#failed(batch.length, reason);
      if (this.#waiting.length >= BATCH_MAX) this.#send();
      else if (this.#waiting.length > 0 && !this.#isClosed) {
        this.#timer ??= setTimeout(() => this.#send(), GATHER_MS).unref();
      }
    });
  }

  /** Posts a batch. Resolves to the reason for which it was not taken, and to undefined when it was. */
  async #post(batch: readonly Span[]): Promise<string | undefined> {
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(this.#request(batch)),
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      await response.arrayBuffer();
      return response.ok ? undefined : `the receiver answered ${response.status}`;
    } catch (error) {
      const { message, cause } = error as Error;
      return cause instanceof Error ? `${message}: ${cause.message}` : message;
    }
  }

  #failed(count: number, reason: string): void {
    this.#dropped += count;
    const { clock, log } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#loggedMs < LOG_INTERVAL_MS) return;
    this.#loggedMs = nowMs;
    log(serverEvents.spansDropped, { url: this.#url, reason });
  }

  #request(batch: readonly Span[]) {
    const { resource, version, clock } = this.#options;
    return {
      resourceSpans: [
        {
          resource: { attributes: attributesOf(resource) },
          scopeSpans: [
            { scope: { name: 'coxswain', version }, spans: batch.map((span) => toOtlp(span, clock)) },
          ],
        },
      ],
    };
  }
}

function toOtlp(
  { name, kind, context, parentId, links, beganMs, endedMs, attributes, error }: Span,
  clock: Clock,
) {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(parentId !== undefined && { parentSpanId: parentId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: unixNanos(clock, beganMs),
    endTimeUnixNano: unixNanos(clock, endedMs),
    attributes: attributesOf(attributes),
    ...(links !== undefined && { links: links.map(({ traceId, spanId }) => ({ traceId, spanId })) }),
    ...(error !== undefined && { status: { code: STATUS_ERROR, message: error } }),
  };
}

/** Describes attributes in the form of OTLP, in whose JSON 64-bit integers are texts. */
function attributesOf(attributes: Readonly<Record<string, string | number>>) {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: String(value) },
  }));
}
