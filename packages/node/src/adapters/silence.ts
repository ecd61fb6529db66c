/** Looks without a sign of the peer after which its connection of frames counts as silent, and it is dialled again. */
export const LOOKS_UNTIL_SILENT = 8;

/**
 * Looks until a bulk connection, or one that a peer has dialled, is given up: longer, since what is under way on a slow
 * link delays the answers, and nothing better is there to take its place.
 */
export const LOOKS_UNTIL_GIVEN_UP = 80;

/** Looks until a connection is given up that has not begun as the protocol wants it: by a stranger, or to one. */
export const LOOKS_UNTIL_OPENED = 16;
