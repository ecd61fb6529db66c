/** What the node proposes for itself is tried for this long, in milliseconds, and again later. */
export const OWN_PROPOSAL_MS = 5000;
