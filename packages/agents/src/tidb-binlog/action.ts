import type { MemberState, StateChange } from '@coxswain/node';
import type { Json } from './go-json.js';

/** What PUT /state answers, in the shape of all answers of the real server that have a message. */
export interface ActionAnswer {
  readonly [key: string]: Json;
  readonly message: string;
  /** 200: it is done. 3: it is refused. The HTTP status is 200 in both cases. */
  readonly code: 200 | 3;
  readonly data: null;
}

/** What is known when an action is asked for. */
export interface ActionRequest {
  /** As the path names it. */
  readonly nodeId: string;
  readonly action: string;
  /** The id of the node that is asked. */
  readonly ownId: string;
  /** The state of the member that `nodeId` names; undefined: no member has that id. */
  readonly state: MemberState | undefined;
}

const changes: ReadonlyMap<string, StateChange> = new Map([
  ['pause', { from: ['online'], to: 'pausing' }],
  ['resume', { from: ['pausing', 'paused'], to: 'online' }],
  ['close', { from: ['online'], to: 'closing' }],
  // The seed's examples use it; the real server knows it not.
  ['stop', { from: ['online'], to: 'closing' }],
]);

export function succeeded(action: string): ActionAnswer {
  return { message: `apply action ${action} success!`, code: 200, data: null };
}

export function refused(message: string): ActionAnswer {
  return { message, code: 3, data: null };
}

/** What an action changes, or why it is refused: node id, state and action are checked in this order, as the real server does. */
export function judgeAction({ nodeId, action, ownId, state }: ActionRequest): StateChange | ActionAnswer {
  if (state === undefined) return refused(`invalid nodeID ${nodeId}, this pump's nodeID is ${ownId}`);
  const change = changes.get(action);
  const { from } = change ?? changes.get('pause')!;
  if (!from.includes(state)) return refused(`this pump's state is ${state}, apply ${action} failed!`);
  return change ?? refused(`invalid action ${action}`);
}
