/**
 * The number of looks without a sign of the peer after which its connection of frames counts as silent, and is dialled
 * again.
 */
export const LOOKS_UNTIL_SILENT = 8;

/**
 * The number of looks after which a bulk connection, or one that a peer has dialled, is given up. It is larger, since
 * data under way on a slow link delays the answers, and there is nothing better to take the connection's place.
 */
export const LOOKS_UNTIL_GIVEN_UP = 80;

/**
 * The number of looks after which a connection is given up that has not begun as the protocol requires: one from a
 * stranger, or to one.
 */
export const LOOKS_UNTIL_OPENED = 16;
