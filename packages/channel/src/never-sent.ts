import { status } from '@grpc/grpc-js';

/**
 * Whether a call failed before there was a connection to send it on, by the status and the text that grpc-js gives.
 * Such a call has had no effect, whatever it asks for.
 */
export function wasNeverSent(code: status, text: string): boolean {
  if (code === status.DEADLINE_EXCEEDED) {
    // It names the address of the node that it gave the request to.
    return text.startsWith('Deadline exceeded after') && !text.includes('remote_addr=');
  }
  return (
    code === status.UNAVAILABLE &&
    (text.startsWith('No connection established') ||
      text.startsWith('Name resolution failed') ||
      // It waited for a connection that did not come up in time, see `Channel`.
      text.startsWith('Channel closed before call started'))
  );
}
