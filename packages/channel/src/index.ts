export { Channel, type ChannelTls, type WatchedChannelOptions } from './channel.js';
export { wasNeverSent } from './never-sent.js';
