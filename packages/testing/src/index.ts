export { findFreePort, findFreePorts, isPortFree } from './free-ports.js';
