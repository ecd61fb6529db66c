import { HeldMemory, type HeldMemoryOptions } from '@coxswain/http2';
import { systemClock } from '@coxswain/node';
import type { Log } from '@coxswain/runtime';
import { type ListenAddress, localUrl } from '../../src/config/address.js';
import { GrpcListener, memoryLimits } from '../../src/grpc/grpc-listener.js';
import { reflect } from '../../src/grpc/reflection.js';
import { FailedHandshakes } from '../../src/metrics/failed-handshakes.js';
import { GrpcMetrics } from '../../src/metrics/grpc-metrics.js';
import type { ListenerTls } from '../../src/process/tls.js';
import { HealthService } from '../../src/services/health-service.js';
import { KvService } from '../../src/services/kv-service.js';
import { TablesService } from '../../src/services/tables-service.js';
import { ScriptedNode } from './scripted-node.js';

export interface ScriptedListenerOptions {
  readonly address?: ListenAddress;
  readonly tls?: Partial<ListenerTls>;
  readonly connectionsMax?: number;
  readonly log?: Log;
  readonly memory?: HeldMemoryOptions;
}

/** A real listener with the real services, before a node that does as it is told. */
export class ScriptedListener {
  private constructor(
    readonly node: ScriptedNode,
    readonly listener: GrpcListener,
    readonly health: HealthService,
    readonly metrics: GrpcMetrics,
    readonly memory: HeldMemory,
  ) {}

  static async start(options: ScriptedListenerOptions = {}): Promise<ScriptedListener> {
    const node = new ScriptedNode();
    const health = new HealthService(
      () => node.reports.readiness(),
      new Map([['regatta.v1.KV', { needsReadiness: true }]]),
    );
    const methods = [
      ...new KvService(node).methods(),
      ...new TablesService(node).methods(),
      ...health.methods(),
    ];
    const metrics = new GrpcMetrics();
    const memory = new HeldMemory({ ...memoryLimits, ...options.memory });
    const listener = new GrpcListener(
      {
        name: 'api',
        address: options.address ?? { isTls: false, host: '127.0.0.1', port: 0 },
        tls: {
          certFile: '',
          keyFile: '',
          caFile: '',
          isClientCertRequired: false,
          allowedCommonName: '',
          allowedHostname: '',
          ...options.tls,
        },
        connectionsMax: options.connectionsMax ?? 0,
        streamsMax: 0,
        memory,
        failedHandshakes: new FailedHandshakes(),
        clock: systemClock,
        metrics,
        log: options.log ?? (() => undefined),
      },
      [...methods, ...reflect(methods)],
    );
    await listener.listen();
    return new ScriptedListener(node, listener, health, metrics, memory);
  }

  /** What gRPC clients dial. */
  get target(): string {
    return localUrl(this.listener.address)
      .replace(/^https?:\/\//, '')
      .replace(/^unixs?:\/\//, 'unix:');
  }

  close(): Promise<void> {
    return this.listener.close(0);
  }
}
