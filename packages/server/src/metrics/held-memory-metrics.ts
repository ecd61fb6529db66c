import type { HeldMemory } from '@coxswain/http2';
import type { MetricJson } from './grpc-metrics.js';

/**
 * Describes for Prometheus the memory that calls hold over all connections of a node, and the calls that were reset or
 * wait because of it.
 */
export function describeHeldMemory(memory: HeldMemory): MetricJson[] {
  return [
    {
      name: 'coxswain_calls_held_bytes',
      help: 'Bytes of memory that requests take until they are answered, and answers until they are sent.',
      type: 'gauge',
      values: [{ labels: {}, value: memory.heldBytes }],
    },
    {
      name: 'coxswain_calls_unsent_bytes',
      help: 'Bytes of coxswain_calls_held_bytes that answers take which are being made or wait for their client to read.',
      type: 'gauge',
      values: [{ labels: {}, value: memory.answerBytes }],
    },
    {
      name: 'coxswain_calls_waiting',
      help: 'Calls that wait now for memory for their next answer.',
      type: 'gauge',
      values: [{ labels: {}, value: memory.waitingCount }],
    },
    {
      name: 'coxswain_calls_given_up_total',
      help: 'Calls that were reset because their client did not read, or because no memory was left.',
      type: 'counter',
      values: [{ labels: {}, value: memory.givenUpCount }],
    },
  ];
}
