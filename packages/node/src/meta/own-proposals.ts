/** The time limit of a proposal that a node makes for itself, in milliseconds; it is repeated later. */
export const OWN_PROPOSAL_MS = 5000;
