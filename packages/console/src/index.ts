export * from './api.js';
export { webDirectory } from './web-directory.js';
