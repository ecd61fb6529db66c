import { systemClock } from '@coxswain/node';
import type { Log } from '@coxswain/runtime';
import type { Config } from '../config/config-schema.js';
import { nodeName } from '../config/node-options.js';
import { version } from '../process/version.js';
import { OtlpExporter } from '../tracing/otlp-exporter.js';
import { OtlpTracer } from '../tracing/otlp-tracer.js';
import type { Parts } from './parts.js';

/** The tracer of a server, and what sends its spans. */
export interface Tracing {
  readonly tracer: OtlpTracer;
  readonly exporter: OtlpExporter;
}

/** Makes the tracer when there is an endpoint to send spans to; returns undefined otherwise. */
export function openTracing(
  { config, log }: { readonly config: Config; readonly log: Log },
  parts: Parts,
): Tracing | undefined {
  const endpoint = config['tracing.endpoint'];
  if (endpoint === '') return undefined;
  const exporter = new OtlpExporter({
    endpoint,
    resource: resourceOf(config),
    version,
    clock: systemClock,
    log,
  });
  parts.add('tracing', { stop: () => exporter.close() });
  return { tracer: new OtlpTracer(exporter, Number(config['tracing.sample-ratio'])), exporter };
}

function resourceOf(config: Config): Record<string, string | number> {
  return {
    'service.name': 'coxswain',
    'service.version': version,
    'service.instance.id': nodeName(config),
    'coxswain.node_id': config['raft.node-id'],
  };
}
