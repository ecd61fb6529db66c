import { status } from '@grpc/grpc-js';

/**
 * Whether the other side, or the loss of the connection, has reset a call's stream, by the status and the text that
 * grpc-js gives. It then says nothing of what became of the call, whether an answer had begun or not.
 */
export function wasReset(code: status, text: string): boolean {
  switch (code) {
    case status.CANCELLED:
      return true;
    case status.INTERNAL:
      return text.includes('RST_STREAM');
    case status.RESOURCE_EXHAUSTED:
      // ENHANCE_YOUR_CALM: a node without memory resets what holds most, which may be a write that is under way.
      return text === 'Bandwidth exhausted or memory limit exceeded';
    case status.UNAVAILABLE:
      return text === 'Connection dropped' || /\bE[A-Z]{4,}\b/.test(text);
    default:
      return false;
  }
}
