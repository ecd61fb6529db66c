export {
  ConfigError,
  describeConfig,
  type LoadedConfig,
  loadConfig,
} from './config/config.js';
export { type Config, configOptions } from './config/config-schema.js';
export { createLog } from './process/logger.js';
export { StartError } from './process/start-error.js';
export { version } from './process/version.js';
export { Server } from './server.js';
