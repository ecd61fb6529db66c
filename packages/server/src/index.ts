export {
  ConfigError,
  describeConfig,
  type LoadedConfig,
  loadConfig,
} from './config/config.js';
export { type Config, type ConfigOption, configGroups, configOptions } from './config/config-schema.js';
export { optionDefault, optionLimits, optionValue } from './config/option-text.js';
export { serverEvents } from './events.js';
export { type Event, EventJournal, type WatchedEvent } from './process/event-journal.js';
export { allEventKinds } from './process/event-kinds.js';
export { createLog } from './process/logger.js';
export { StartError } from './process/start-error.js';
export { version } from './process/version.js';
export { Server } from './server.js';
