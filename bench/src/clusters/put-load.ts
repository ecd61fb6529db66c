import type { ProcessCluster } from '../faults/process-cluster.js';
import type { LoadResult, LoadSpecification } from '../load/closed-loop.js';
import type { GeneratorRequest } from '../process/generator-process.js';
import { WorkerProcess } from '../process/worker-process.js';

export const VALUE_SIZE_BYTES = 256;
export const IN_FLIGHT = 256;
const CONNECTION_COUNT = 3;

/**
 * Runs load on a cluster, in a process of its own: values of 256 B, 256 calls in flight.
 *
 * @throws Error when any call fails
 */
export async function runLoad(
  cluster: ProcessCluster,
  load: Pick<LoadSpecification, 'workload' | 'keyCount' | 'extent'>,
): Promise<LoadResult> {
  const generator = new WorkerProcess<GeneratorRequest, LoadResult>('generator-process');
  try {
    const result = await generator.request({
      dialect: 'regatta',
      tableCount: 1,
      load: {
        ...load,
        valueSizeBytes: VALUE_SIZE_BYTES,
        answersHoldData: true,
        endpoints: cluster.nodes.map(({ address }) => address),
        connectionCount: CONNECTION_COUNT,
        inFlight: IN_FLIGHT,
      },
    });
    if (Object.keys(result.errors).length > 0)
      throw new Error(`puts failed: ${JSON.stringify(result.errors)}`);
    return result;
  } finally {
    await generator.stop();
  }
}
