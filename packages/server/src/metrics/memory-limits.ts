import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { MetricJson } from './grpc-metrics.js';

/** Above this a limit of a control group means that there is none: the kernel gives a number near 2^63 then. */
const LIMITED_BYTES_MAX = 2 ** 60;

/** Describes for Prometheus how much memory the process may use, beside which its use can be read. */
export function describeMemoryLimits(): MetricJson[] {
  const constrained = process.constrainedMemory?.() ?? 0;
  const isConstrained = constrained > 0 && constrained < LIMITED_BYTES_MAX;
  return [
    {
      name: 'coxswain_heap_limit_bytes',
      help: 'Bytes at which the JavaScript heap is full and the process ends (nodejs_heap_size_used_bytes is what it uses).',
      type: 'gauge',
      values: [{ labels: {}, value: getHeapStatistics().heap_size_limit }],
    },
    {
      name: 'coxswain_memory_limit_bytes',
      help: 'Bytes of memory that the process may use: the limit of its control group, else the memory of the machine.',
      type: 'gauge',
      values: [{ labels: {}, value: isConstrained ? Math.min(constrained, totalmem()) : totalmem() }],
    },
  ];
}
