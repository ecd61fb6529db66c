import { copyFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Certificates } from '../src/certificates.js';
import { loadTls } from '../src/tls.js';
import { Authority, type Identity } from './support/certificates.js';
import { ScriptedListener } from './support/scripted-listener.js';

let authority: Authority;
let used: Identity;
let next: Identity;
let scripted: ScriptedListener | undefined;

beforeAll(async () => {
  authority = await Authority.create('authority');
});
afterEach(async () => {
  await scripted?.close();
  scripted = undefined;
});
afterAll(() => authority.remove());

async function issued(): Promise<void> {
  used = await authority.issue('first', ['localhost']);
  next = await authority.issue('second', ['localhost']);
}

function replace(by: Identity): void {
  copyFileSync(by.certFile, used.certFile);
  copyFileSync(by.keyFile, used.keyFile);
}

/** The common name that a listener shows in a handshake. */
function shownName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca: authority.pem, ALPNProtocols: ['h2'] }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

const tlsOf = ({ certFile, keyFile }: Identity) => ({
  certFile,
  keyFile,
  caFile: '',
  isClientCertRequired: false,
  allowedCommonName: '',
  allowedHostname: '',
});

describe('certificates in files', () => {
  test('are read again when they are replaced; unusable ones leave the old ones in use', async () => {
    await issued();
    const lines: string[] = [];
    let nowMs = Date.now();
    const certificates = new Certificates({
      name: 'api',
      files: [used.certFile, used.keyFile],
      load: () => loadTls(tlsOf(used), 'api'),
      log: (level, message) => lines.push(`${level} ${message}`),
      nowMs: () => nowMs,
    });
    // The test's certificates live for a day.
    expect(lines).toEqual(['warn a certificate expires soon: replace its files']);
    const first = certificates.current;
    expect(certificates.expiries).toEqual([{ kind: 'certificate', expiresMs: expect.any(Number) }]);
    expect(certificates.expiries[0]!.expiresMs - nowMs).toBeLessThan(86_400_000);
    nowMs += 2_000;
    expect(certificates.current).toBe(first);
    writeFileSync(used.certFile, 'no certificate');
    nowMs += 2_000;
    expect(certificates.current).toBe(first);
    expect(certificates.current).toBe(first);
    replace(next);
    nowMs += 2_000;
    expect(certificates.current.cert).toEqual(next.cert);
    expect(lines.slice(1)).toEqual([
      'error replaced certificate files are not usable: the old ones stay in use',
      'info certificates were read again',
      'warn a certificate expires soon: replace its files',
    ]);
  });

  test('a listener shows the new ones at the next handshake, and logs handshakes that fail', async () => {
    await issued();
    const lines: string[] = [];
    scripted = await ScriptedListener.start({
      address: { isTls: true, host: '127.0.0.1', port: 0 },
      tls: tlsOf(used),
      log: (_level, message) => lines.push(message),
    });
    const port = Number(scripted.target.split(':').pop());
    expect(await shownName(port)).toBe('first');
    replace(next);
    for (let i = 0; i < 1_000 && (await shownName(port)) !== 'second'; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await shownName(port)).toBe('second');
    expect(lines).toContain('certificates were read again');
    // This one trusts another authority.
    const stranger = connect({ host: '127.0.0.1', port, ALPNProtocols: ['h2'] });
    await new Promise((resolve) => stranger.on('error', resolve));
    for (let i = 0; i < 1_000 && !lines.includes('a handshake failed'); i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(lines).toContain('a handshake failed');
  });
});
