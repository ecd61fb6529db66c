/** Text for a server that does not answer; its subject "it" comes before. */
export const NO_ANSWER =
  'does not answer: see whether it runs, and whether a firewall drops what is sent to it';

/** Explains to an operator the system's codes for a connection that could not be made. */
export const systemErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: start the node',
  ENOENT: 'there is no such socket: start the node',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the host name cannot be resolved now',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network',
  ETIMEDOUT: `it ${NO_ANSWER}`,
};
