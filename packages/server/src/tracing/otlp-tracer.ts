import { randomFillSync } from 'node:crypto';
import type { Clock, Span, SpanContext, Tracer } from '@coxswain/runtime';

/** Takes the spans that a tracer recorded. */
export interface SpanSink {
  add(span: Span): void;
}

/** The entries of logs whose writers are remembered. Followers read them within a second, or do without. */
const WRITERS_MAX = 4_096;
/** Random bytes that are made at a time; the system's generator costs the same for eight and for many. */
const POOL_BYTES = 4_096;
const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;

/** Decides which traces are recorded, and gives spans their ids. */
export class OtlpTracer implements Tracer {
  readonly #sink: SpanSink;
  readonly #sampleRatio: number;
  readonly #random: () => number;
  readonly #writers = new Map<string, SpanContext>();
  readonly #pool = Buffer.alloc(POOL_BYTES);
  #at = POOL_BYTES;

  /**
   * `sampleRatio` is the part, from 0 to 1, of the traces that begin here which is recorded. For a trace that began
   * elsewhere, that place has decided.
   */
  constructor(sink: SpanSink, sampleRatio: number, random: () => number = Math.random) {
    this.#sink = sink;
    this.#sampleRatio = sampleRatio;
    this.#random = random;
  }

  begin(parent: SpanContext | undefined): SpanContext {
    const spanId = this.#id(SPAN_ID_BYTES);
    if (parent !== undefined) return { traceId: parent.traceId, spanId, isSampled: parent.isSampled };
    return { traceId: this.#id(TRACE_ID_BYTES), spanId, isSampled: this.#random() < this.#sampleRatio };
  }

  record(span: Span): void {
    if (span.context.isSampled) this.#sink.add(span);
  }

  wrote(group: number, index: number, context: SpanContext): void {
    if (!context.isSampled) return;
    // The oldest goes first, since a Map keeps the order in which its keys were added.
    if (this.#writers.size >= WRITERS_MAX) this.#writers.delete(this.#writers.keys().next().value!);
    this.#writers.set(`${group}/${index}`, context);
  }

  writerOf(group: number, index: number): SpanContext | undefined {
    return this.#writers.get(`${group}/${index}`);
  }

  #id(bytes: number): string {
    if (this.#at + bytes > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    const id = this.#pool.toString('hex', this.#at, this.#at + bytes);
    this.#at += bytes;
    return id;
  }
}

/** Gives the wall time of a moment on the monotonic clock, in nanoseconds since 1970, as OTLP's JSON has it. */
export function unixNanos(clock: Clock, monotonicMs: number): string {
  const wallMs = clock.nowMs() - clock.monotonicMs() + monotonicMs;
  return String(BigInt(Math.round(wallMs * 1000)) * 1000n);
}
