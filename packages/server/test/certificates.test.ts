import { X509Certificate } from 'node:crypto';
import { copyFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { connect } from 'node:tls';
import { until } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Certificates } from '../src/process/certificates.js';
import { loadTls } from '../src/process/tls.js';
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
      log: ({ severity, code }) => {
        lines.push(`${severity} ${code}`);
      },
      nowMs: () => nowMs,
    });
    // The test's certificates live for a day.
    expect(lines).toEqual(['warn certificate-expiring']);
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
      'error certificates-unusable',
      'info certificates-reloaded',
      'warn certificate-expiring',
    ]);
  });

  test('warn of their end from 30 days before on, once a day, and not sooner', async () => {
    await issued();
    const dayMs = 86_400_000;
    const expiresMs = Date.parse(new X509Certificate(used.cert).validTo);
    let nowMs = expiresMs - 30 * dayMs - 1;
    const lines: unknown[] = [];
    const certificates = new Certificates({
      name: 'api',
      files: [used.certFile, used.keyFile],
      load: () => loadTls(tlsOf(used), 'api'),
      log: ({ severity, code }, fields) => {
        lines.push([severity, code, fields]);
      },
      nowMs: () => nowMs,
    });
    certificates.reload();
    expect(lines).toEqual([]);
    nowMs++;
    certificates.reload();
    const warning = [
      'warn',
      'certificate-expiring',
      { listener: 'api', kind: 'certificate', expires: new Date(expiresMs).toISOString() },
    ];
    expect(lines).toEqual([warning]);
    nowMs += dayMs - 1;
    certificates.reload();
    expect(lines).toEqual([warning]);
    nowMs++;
    certificates.reload();
    expect(lines).toEqual([warning, warning]);
  });

  test('a listener shows the new ones at the next handshake, and logs handshakes that fail', async () => {
    await issued();
    const lines: string[] = [];
    const failures: unknown[] = [];
    scripted = await ScriptedListener.start({
      address: { isTls: true, host: '127.0.0.1', port: 0 },
      tls: tlsOf(used),
      log: ({ severity, code }, fields) => {
        lines.push(code);
        if (code === 'handshake-failed') failures.push({ severity, ...fields });
      },
    });
    const port = Number(scripted.target.split(':').pop());
    expect(await shownName(port)).toBe('first');
    replace(next);
    await until('the new certificate is shown', async () => (await shownName(port)) === 'second');
    expect(lines).toContain('certificates-reloaded');
    // This one trusts another authority, and hangs up.
    const stranger = connect({ host: '127.0.0.1', port, ALPNProtocols: ['h2'] });
    await new Promise((resolve) => stranger.on('error', resolve));
    await until('the failed handshake is logged', () => failures.length > 0);
    expect(failures).toEqual([
      { severity: 'warn', listener: 'api', from: '127.0.0.1', reason: 'socket hang up' },
    ]);
  });

  test('a listener says in words what is wrong with a handshake', async () => {
    await issued();
    const failures: unknown[] = [];
    scripted = await ScriptedListener.start({
      address: { isTls: true, host: '127.0.0.1', port: 0 },
      tls: tlsOf(used),
      log: ({ code }, fields) => {
        if (code === 'handshake-failed') failures.push(fields);
      },
    });
    const plain = connectTcp(Number(scripted.target.split(':').pop()), '127.0.0.1');
    plain.on('error', () => undefined).write('GET / HTTP/1.1\r\n\r\n');
    await until('the failed handshake is logged', () => failures.length > 0);
    plain.destroy();
    expect(failures).toEqual([{ listener: 'api', from: '127.0.0.1', reason: 'http request' }]);
  });
});
