import type { MemberState, StateChange } from '@coxswain/node';
import type { Json } from './go-json.js';

/** The answer to PUT /state, in the shape that the real server gives to every answer with a message. */
export interface ActionAnswer {
  readonly [key: string]: Json;
  readonly message: string;
  /** 200 when it was done, 3 when it was refused. The HTTP status is 200 in both cases. */
  readonly code: 200 | 3;
  readonly data: null;
}

/** An action that was asked for, and the state that it is judged by. */
export interface ActionRequest {
  /** The node id from the path of the request. */
  readonly nodeId: string;
  readonly action: string;
  /** The id of the node that received the request. */
  readonly ownId: string;
  /** The state of the member with `nodeId`; undefined when no member has that id. */
  readonly state: MemberState | undefined;
}

const changes: ReadonlyMap<string, StateChange> = new Map([
  ['pause', { from: ['online'], to: 'pausing' }],
  ['resume', { from: ['pausing', 'paused'], to: 'online' }],
  ['close', { from: ['online'], to: 'closing' }],
  // The seed's examples use it; the real server does not know it.
  ['stop', { from: ['online'], to: 'closing' }],
]);

/** Makes the answer to an action that was done. */
export function succeeded(action: string): ActionAnswer {
  return { message: `apply action ${action} success!`, code: 200, data: null };
}

/** Makes the answer to an action that was refused; `message` says why. */
export function refused(message: string): ActionAnswer {
  return { message, code: 3, data: null };
}

/**
 * Returns the change that an action makes, or why it is refused. It checks node id, state and action in this order, as
 * the real server does.
 */
export function judgeAction({ nodeId, action, ownId, state }: ActionRequest): StateChange | ActionAnswer {
  if (state === undefined) return refused(`invalid nodeID ${nodeId}, this pump's nodeID is ${ownId}`);
  const change = changes.get(action);
  const { from } = change ?? changes.get('pause')!;
  if (!from.includes(state)) return refused(`this pump's state is ${state}, apply ${action} failed!`);
  return change ?? refused(`invalid action ${action}`);
}
