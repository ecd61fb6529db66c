export {
  ConfigError,
  describeConfig,
  type LoadedConfig,
  loadConfig,
} from './config.js';
export { type Config, configOptions } from './config-schema.js';
export { createLog } from './logger.js';
export { Server } from './server.js';
export { StartError } from './start-error.js';
export { version } from './version.js';
