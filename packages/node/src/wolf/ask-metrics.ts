import { wolfRaft } from '@coxswain/protocol';
import { type MemberMetrics, readMetrics } from '@coxswain/wolf';
import type { WolfLink } from '../api/environment.js';

const { getMetrics } = wolfRaft.RaftService;

/**
 * Asks a member of the group for its metrics. Rejects with an Error whose text continues a sentence that begins with
 * the member's name: `gives no metrics (…)`.
 */
export async function askMetrics(
  link: WolfLink,
  { id, address }: { readonly id: number; readonly address: string },
  timeoutMs: number,
): Promise<MemberMetrics> {
  let metrics: MemberMetrics | undefined;
  try {
    const request = getMetrics.requestSerialize({ msgId: 'coxswain' });
    const { response } = getMetrics.responseDeserialize(
      await link.call(address, getMetrics.path, request, timeoutMs),
    );
    if (response?.$case === 'okRes') metrics = readMetrics(response.value.metrics);
  } catch (error) {
    throw new Error(`gives no metrics (${error instanceof Error ? error.message : String(error)})`, {
      cause: error,
    });
  }
  if (metrics === undefined) throw new Error('gives no metrics that can be read');
  if (metrics.id !== id) throw new Error(`says that it is member ${metrics.id}`);
  return metrics;
}
