/**
 * The directory with the page and its scripts and styles, whose names have a hash of their content but for index.html's.
 * `scripts/bundle.mjs` writes it; in the bundle of the command it makes this the copy that lies beside the bundle.
 */
export const webDirectory = new URL('../web/', import.meta.url);
