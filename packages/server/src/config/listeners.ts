import { StartError } from '../process/start-error.js';
import type { ListenerTls } from '../process/tls.js';
import { type ListenAddress, parseListenAddress } from './address.js';
import type { Config } from './config-schema.js';

/** Returns the TLS options of a listener. */
export function listenerTls(config: Config, name: 'api' | 'replication' | 'rest'): ListenerTls {
  return {
    certFile: config[`${name}.cert-filename`],
    keyFile: config[`${name}.key-filename`],
    caFile: config[`${name}.ca-filename`],
    isClientCertRequired: config[`${name}.client-cert-auth`],
    allowedCommonName: name === 'api' ? config['api.allowed-cn'] : '',
    allowedHostname: name === 'api' ? config['api.allowed-hostname'] : '',
  };
}

/** The TLS options of a listener whose protocol has no encryption. */
export const noTls: ListenerTls = {
  certFile: '',
  keyFile: '',
  caFile: '',
  isClientCertRequired: false,
  allowedCommonName: '',
  allowedHostname: '',
};

/** Returns the address of a listener whose protocol has no encryption. Throws StartError unless it is `host:port`. */
export function plainAddress(
  config: Config,
  name: 'backup-agent.address' | 'wolf.address',
): Required<Pick<ListenAddress, 'isTls' | 'host' | 'port'>> {
  const { host, port, isTls = false } = parseListenAddress(config[name]) ?? {};
  if (host === undefined || port === undefined || isTls) {
    throw new StartError(`${name} must be host:port, not ${JSON.stringify(config[name])}`);
  }
  return { isTls, host, port };
}
