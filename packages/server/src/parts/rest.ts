import { systemClock } from '@coxswain/node';
import { parseListenAddress } from '../config/address.js';
import { listenerTls } from '../config/listeners.js';
import { during } from '../process/during.js';
import { Handshakes } from '../process/handshakes.js';
import { version } from '../process/version.js';
import { AdminApi, type AdminApiOptions } from '../rest/admin-api.js';
import type { Shared } from './shared.js';

/** Opens the REST listener. Rejects with StartError. */
export async function openRest(
  { config, parts, certificates, failedHandshakes, tokens, log }: Shared,
  served: Pick<AdminApiOptions, 'readiness' | 'replicationReadiness' | 'metrics' | 'addRoutes'>,
): Promise<AdminApi> {
  const action = `open the rest listener at ${config['rest.address']}`;
  const address = parseListenAddress(config['rest.address'])!;
  const ofListener = {
    name: 'rest',
    tls: listenerTls(config, 'rest'),
    clock: systemClock,
    failedHandshakes,
    log,
  };
  const handshakes = address.isTls ? await during(action, () => new Handshakes(ofListener)) : undefined;
  certificates.add(handshakes?.certificates);
  const token = tokens.of('rest.token');
  const readTimeoutMs = config['rest.read-timeout'];
  const admin = new AdminApi({ ...served, address, handshakes, token, readTimeoutMs, version, log });
  parts.add('rest listener', { stop: () => admin.close() });
  await during(action, () => admin.listen());
  return admin;
}
