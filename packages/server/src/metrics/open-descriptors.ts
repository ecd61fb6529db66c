import { readdir } from 'node:fs/promises';
import type { Gauge, Registry } from 'prom-client';

/**
 * Makes prom-client's `process_open_fds`, which it has on Linux, count the descriptors without holding up the event
 * loop: a node with a thousand tables has thousands of them.
 */
export function countDescriptorsAside(registry: Registry): void {
  const gauge = registry.getSingleMetric('process_open_fds') as
    | (Gauge & { collect?: () => Promise<void> })
    | undefined;
  if (gauge === undefined) return;
  gauge.collect = async () => {
    // The listing has a descriptor of its own.
    gauge.set((await readdir('/proc/self/fd')).length - 1);
  };
}
