import { systemErrors } from '@coxswain/channel';
import { status } from '@grpc/grpc-js';

const causes: Readonly<Record<string, string>> = {
  ...systemErrors,
  ECONNREFUSED: `${systemErrors.ECONNREFUSED}, or correct its address`,
  ECONNRESET: 'it closes the connection: perhaps it is the port of another service, or wants TLS (https://)',
};

/**
 * Says to an operator why a node of the leader cluster was not reached, or was lost, from the status and the text that
 * grpc-js gives: its text speaks of its own parts.
 */
export function describeLostContact(address: string, code: status, text: string): string {
  if (code === status.DEADLINE_EXCEEDED) return `${address} gave no answer in time`;
  if (text.startsWith('Name resolution failed'))
    return `no connection to ${address}: the host name cannot be resolved`;
  if (text.startsWith('No connection established')) {
    const last = /Last error: (?:Error: )?(.*?)\. Resolution note:/s.exec(text)?.[1] ?? 'null';
    const cause = causes[/\bE[A-Z]{4,}\b/.exec(last)?.[0] ?? ''] ?? last;
    return `no connection to ${address}${cause === 'null' ? '' : `: ${cause}`}`;
  }
  if (code === status.UNAVAILABLE) return `the connection to ${address} was lost`;
  // ENHANCE_YOUR_CALM: see `wasReset`.
  if (code === status.RESOURCE_EXHAUSTED) return `${address} gave the call up for want of memory`;
  return `the call to ${address} was broken off`;
}
