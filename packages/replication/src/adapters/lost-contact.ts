import { Status, systemErrors } from '@coxswain/channel';

/** This text is put after "it" in a sentence. */
const TLS_WANTED = 'wants TLS (https://, or the ca-filename of its authority)';

const causes: Readonly<Record<string, string>> = {
  ...systemErrors,
  ECONNREFUSED: `${systemErrors.ECONNREFUSED}, or correct its address`,
};

/** What the words of the channel, Node.js and OpenSSL for a handshake that failed mean; the first that fits counts. */
const handshakes: readonly (readonly [RegExp, string])[] = [
  [
    /Failed to connect|ECONNRESET|EPIPE|hang up|disconnected before secure/,
    `it closes the connection: perhaps it is the port of another service, or ${TLS_WANTED}`,
  ],
  [
    /Protocol error|HTTP\/2: /,
    `it is no gRPC server, but another listener, such as that of the REST API, or it ${TLS_WANTED}`,
  ],
  [
    /no answer in \d+ s/,
    `it takes the connection and says nothing: it hangs, or is the port of another service, or ${TLS_WANTED}`,
  ],
  [/wrong version number|packet length too long/, 'it does not speak TLS: use http://, and no ca-filename'],
  [/altnames/, 'its certificate is not for that name: use a name that the certificate holds'],
  [/has expired/, 'its certificate has expired: renew it'],
  [/not yet valid/, 'its certificate is not valid yet: compare the clocks'],
  [
    /self-signed|unable to (?:verify|get)|certificate signature/,
    'its certificate is signed by no authority that is trusted here: correct the ca-filename',
  ],
  [
    /alert (?:certificate required|handshake failure|unknown ca|bad certificate)|may not take the certificate/,
    'it takes only callers with a certificate of its own authority: give one (cert-filename), or name a listener that wants none',
  ],
];

/**
 * Says to an operator why a node of the leader cluster was not reached, or was lost, from the status and the text that
 * the channel gives: its text speaks of its own parts.
 */
export function describeLostContact(address: string, code: Status, text: string): string {
  if (code === Status.DEADLINE_EXCEEDED) return `${address} gave no answer in time`;
  if (text.startsWith('Name resolution failed'))
    return `no connection to ${address}: the host name cannot be resolved`;
  if (text.startsWith('No connection established')) {
    const last = /Last error: (?:Error: )?(.*?)(?:\. Resolution note:.*)?$/s.exec(text)?.[1] ?? 'null';
    const known = causes[/\bE[A-Z]{4,}\b/.exec(last)?.[0] ?? ''];
    const cause = known ?? handshakes.find(([words]) => words.test(last))?.[1] ?? last;
    return `no connection to ${address}${cause === 'null' ? '' : `: ${cause}`}`;
  }
  if (code === Status.UNAVAILABLE) return `the connection to ${address} was lost`;
  // ENHANCE_YOUR_CALM: a node without memory resets what holds most.
  if (code === Status.RESOURCE_EXHAUSTED) return `${address} gave the call up for want of memory`;
  return `the call to ${address} was broken off`;
}
