import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
cryptoProvider.set(webcrypto);

/** A certificate with its key: PEM, and the files that hold them. */
export interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate authority that lives for one test, in a directory of its own. */
export class Authority {
  readonly #directory = new TemporaryDirectory();
  #serial = 1;

  private constructor(
    readonly certificate: X509Certificate,
    readonly keys: webcrypto.CryptoKeyPair,
  ) {}

  static async create(name: string): Promise<Authority> {
    const keys = await generateKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: `CN=${name}`,
      ...validity(),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 1, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new Authority(certificate, keys);
  }

  get pem(): Buffer {
    return Buffer.from(this.certificate.toString('pem'));
  }

  get file(): string {
    return this.#write('ca.pem', this.pem);
  }

  /** Signs a certificate for a common name and host names; one that has expired where a test wants that. */
  async issue(
    commonName: string,
    hostnames: readonly string[] = [],
    { isExpired = false }: { readonly isExpired?: boolean } = {},
  ): Promise<Identity> {
    const keys = await generateKeys();
    const serialNumber = (++this.#serial).toString(16).padStart(2, '0');
    const certificate = await X509CertificateGenerator.create({
      serialNumber,
      subject: `CN=${commonName}`,
      issuer: this.certificate.subject,
      ...validity(isExpired),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      extensions: [
        await AuthorityKeyIdentifierExtension.create(this.certificate),
        new SubjectAlternativeNameExtension([
          { type: 'ip', value: '127.0.0.1' },
          ...hostnames.map((value) => ({ type: 'dns' as const, value })),
        ]),
      ],
    });
    const cert = Buffer.from(certificate.toString('pem'));
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    const key = Buffer.from(`-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`);
    return {
      cert,
      key,
      certFile: this.#write(`${serialNumber}.pem`, cert),
      keyFile: this.#write(`${serialNumber}.key`, key),
    };
  }

  remove(): void {
    this.#directory.remove();
  }

  #write(name: string, content: Buffer): string {
    const file = join(this.#directory.path, name);
    writeFileSync(file, content);
    return file;
  }
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function validity(isExpired = false): { notBefore: Date; notAfter: Date } {
  const dayMs = 86_400_000;
  const nowMs = Date.now();
  return { notBefore: new Date(nowMs - 2 * dayMs), notAfter: new Date(nowMs + (isExpired ? -dayMs : dayMs)) };
}
