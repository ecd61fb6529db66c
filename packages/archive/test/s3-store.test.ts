import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerError, type ScriptedRequest, ScriptedS3, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import S3rver from 's3rver';
import { DEFAULT_S3_LIMITS, type S3Options } from '../src/adapters/s3-requests.js';
import { S3Store } from '../src/adapters/s3-store.js';
import { ArchiveError } from '../src/errors.js';
import { collect, contentOf, inPieces, namesOf, random } from './support/content.js';
import { describeObjectStore } from './support/store-conformance.js';

describe('with s3rver', () => {
  let temporary: TemporaryDirectory;
  let server: S3rver;
  let endpoint: string;
  let count = 0;

  beforeAll(async () => {
    temporary = new TemporaryDirectory();
    const directory = temporary.path;
    const configureBuckets = [{ name: 'bucket' }];
    server = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory, configureBuckets });
    endpoint = `http://127.0.0.1:${(await server.run()).port}`;
  });

  afterAll(async () => {
    // The server logs the end of an answer that nobody read, which must not come after its own end.
    await fetch(endpoint);
    await server.close();
    temporary.remove();
  });

  describeObjectStore('a bucket', async () => {
    const keys = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' };
    const prefix = `deep/archive-${++count}`;
    const store = new S3Store({ endpoint, region: '', bucket: 'bucket', prefix, ...keys });
    return { store, dispose: () => Promise.resolve() };
  });
});

/**
 * Limits that are quick, so that what fails for good does so at once; but a busy machine must not be taken for a silent
 * one.
 */
const PART = 1024 * 1024;
const LIMITS = { silenceMs: 600_000, attemptsMax: 3, pauseLeastMs: 1, partSizeBytes: PART };

describe('a bucket', () => {
  const s3 = new ScriptedS3();
  let store: S3Store;

  const storeWith = (options: Partial<S3Options> = {}, limits = LIMITS): S3Store => {
    const { endpoint, region, bucket, accessKeyId, secretAccessKey } = s3;
    return new S3Store(
      { endpoint, region, bucket, prefix: 'p', accessKeyId, secretAccessKey, ...options },
      limits,
    );
  };

  beforeEach(async () => {
    s3.objects.clear();
    s3.uploads.clear();
    s3.requests.length = 0;
    s3.intercept = () => false;
    s3.uploadsPerPage = 1000;
    await s3.start();
    store = storeWith();
  });

  afterEach(async () => {
    await store.close();
    await s3.stop();
  });

  const refuse =
    (status: number, code: string): typeof s3.intercept =>
    (_, response) => {
      answerError(response, status, code);
      return true;
    };

  const hangUp: typeof s3.intercept = (_, response) => {
    response.destroy();
    return true;
  };

  /** Fails the first `count` requests of a method as given. */
  function failFirst(count: number, method: string, fail: typeof s3.intercept): void {
    let left = count;
    s3.intercept = (request, response) => {
      if (request.method !== method || left === 0) return false;
      left--;
      return fail(request, response);
    };
  }

  test('is asked with signatures that a server finds right, also for names and tokens with special characters', async () => {
    const names = Array.from({ length: 1001 }, (_, i) =>
      `c/1/log/a-_.${String(i).padStart(4, '0')}~`.slice(0, -1),
    );
    for (const name of names) s3.objects.set(`p/${name}`, Buffer.from('x'));
    s3.objects.set("p/with (odd) 'name'", Buffer.from('x'));
    s3.objects.set('q/other', Buffer.from('x'));
    expect(await namesOf(store, '')).toEqual(names);
    s3.objects.set('p/c/10/log/a', Buffer.from('x'));
    s3.objects.set('p/c/2/log/a', Buffer.from('x'));
    expect(await collect(store.folders('c/', {}))).toEqual(['1', '10', '2']);
  });

  test('is read page by page to its end, and its folders too', async () => {
    const names = Array.from(
      { length: 2_500 },
      (_, i) => `c/${i % 3}/log/${String(i).padStart(4, '0')}`,
    ).sort();
    for (const name of names) s3.objects.set(`p/${name}`, Buffer.from('x'));
    s3.objects.set('other', Buffer.from('x'));
    expect(await namesOf(store, '')).toEqual(names);
    expect(s3.requests).toHaveLength(3);
    expect(s3.requests.slice(1).every(({ query }) => query.has('continuation-token'))).toBe(true);
    expect(await namesOf(store, 'c/1/')).toEqual(names.filter((name) => name.startsWith('c/1/')));
    expect(await collect(store.folders('c/', {}))).toEqual(['0', '1', '2']);
  });

  test('gets an object in parts of equal size, each with its hash', async () => {
    const content = random(2 * PART + 5);
    await store.put('a', inPieces(content, [1000, PART, PART]), {});
    const parts = s3.requests.filter(({ query }) => query.has('partNumber'));
    expect(parts.map(({ body }) => body.length)).toEqual([PART, PART, 5]);
    expect(parts.every(({ headers }) => headers['content-md5'] !== undefined)).toBe(true);
    // Amazon's server accepts nothing whose length was not announced.
    expect(parts.map(({ headers }) => Number(headers['content-length']))).toEqual([PART, PART, 5]);
    expect((await contentOf(store, 'a')).equals(content)).toBe(true);
    expect(s3.uploads.size).toBe(0);
  });

  test('gets parts of a size that Amazon takes, for as large an object as it takes', () => {
    const { partSizeBytes } = DEFAULT_S3_LIMITS;
    expect(partSizeBytes).toBeGreaterThanOrEqual(5 * 1024 * 1024);
    expect(partSizeBytes * 10_000).toBeGreaterThan(128 * 1024 ** 3);
  });

  test('is told how long an object is, however small', async () => {
    await store.put('none', Buffer.alloc(0), {});
    await store.put('small', random(1000), {});
    const { requests } = s3;
    expect(requests.map(({ headers }) => Number(headers['content-length']))).toEqual([0, 1000]);
    expect(requests.map(({ headers }) => headers['transfer-encoding'])).toEqual([undefined, undefined]);
  });

  test.each([
    ['no access key', { accessKeyId: ' ' }, 'credentialsMissing', 'archive.s3-access-key-id'],
    ['no secret', { secretAccessKey: '' }, 'credentialsMissing', 'COXSWAIN_ARCHIVE_S3_SECRET_ACCESS_KEY'],
  ])('with %s is not even opened', (_, options, code, text) => {
    expect(() => storeWith(options)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
  });

  test.each([
    ['an unknown access key', { accessKeyId: 'AKIDUNKNOWN' }, 'accessDenied', 'InvalidAccessKeyId'],
    ['a wrong secret', { secretAccessKey: 'wrong-secret' }, 'accessDenied', 'SignatureDoesNotMatch'],
    ['a wrong region', { region: 'us-east-1' }, 'regionWrong', 'eu-test-1'],
    ['the name of no bucket', { bucket: 'nobucket' }, 'bucketMissing', 'there is no bucket "nobucket"'],
  ])(
    'says what to do about %s, without a secret and without trying again',
    async (_, options, code, text) => {
      const wrong = storeWith(options);
      const operations = [
        wrong.put('a', Buffer.from('x'), {}),
        wrong.put('a', inPieces(random(PART + 1), []), {}),
        collect(wrong.list('', {})),
        wrong.delete('a', {}),
        collect(wrong.get('a', {})),
      ];
      for (const operation of await Promise.allSettled(operations)) {
        const { reason } = operation as PromiseRejectedResult;
        expect(reason).toBeInstanceOf(ArchiveError);
        expect(reason).toMatchObject({ code, message: expect.stringContaining(text) });
        expect(JSON.stringify([reason, String(reason.stack), String(reason.cause)])).not.toMatch(
          /secret\/|wrong-secret|AKID/,
        );
      }
      expect(s3.requests.length).toBeLessThanOrEqual(operations.length);
    },
  );

  test('with another clock says that the clock is to be corrected', async () => {
    s3.intercept = refuse(403, 'RequestTimeTooSkewed');
    await expect(namesOf(store, '')).rejects.toMatchObject({ code: 'clockWrong' });
  });

  test.each([
    ['answers 503', refuse(503, 'SlowDown')],
    ['hangs up', hangUp],
    ['got something else than was sent', refuse(400, 'BadDigest')],
  ])('that %s is asked again', async (_, fail) => {
    failFirst(2, 'PUT', fail);
    await store.put('a', Buffer.from('x'), {});
    expect(s3.requests).toHaveLength(3);
    expect(s3.objects.get('p/a')).toEqual(Buffer.from('x'));
  });

  test('is not asked again for ever', async () => {
    failFirst(99, 'PUT', refuse(503, 'SlowDown'));
    await expect(store.put('a', Buffer.from('x'), {})).rejects.toMatchObject({
      code: 'storeFailed',
      message: expect.stringContaining('503 SlowDown'),
    });
    expect(s3.requests).toHaveLength(3);
  });

  test('that is silent is asked again, and when it stays silent is said to be slow or away', async () => {
    const impatient = storeWith({}, { ...LIMITS, silenceMs: 500 });
    failFirst(99, 'DELETE', () => true);
    await expect(impatient.delete('a', {})).rejects.toMatchObject({ code: 'timedOut' });
    expect(s3.requests).toHaveLength(3);
    await expect(store.delete('a', { timeoutMs: 20 })).rejects.toMatchObject({ code: 'timedOut' });
  });

  test('that is full says so', async () => {
    s3.intercept = refuse(507, 'XMinioStorageFull');
    await expect(store.put('a', Buffer.from('x'), {})).rejects.toMatchObject({ code: 'storeFull' });
  });

  test('that nobody serves says where it was looked for', async () => {
    const { endpoint } = s3;
    await s3.stop();
    await expect(namesOf(store, '')).rejects.toMatchObject({
      code: 'storeUnreachable',
      message: expect.stringContaining(`${endpoint}: ECONNREFUSED`),
    });
    await s3.start();
  });

  test('on a port that the HTTP client refuses says so', async () => {
    await expect(namesOf(storeWith({ endpoint: 'http://127.0.0.1:6000' }), '')).rejects.toMatchObject({
      code: 'storeUnreachable',
      message: expect.stringContaining('127.0.0.1:6000: no request is sent to this port'),
    });
  });

  test('of a server that dies within an upload has nothing of the object, and takes it when it is back', async () => {
    const { port } = new URL(s3.endpoint);
    const content = random(2 * PART + 1);
    let hasDied = false;
    s3.intercept = ({ query }, response) => {
      if (query.get('partNumber') !== '2') return false;
      hasDied = true;
      response.destroy();
      void s3.stop();
      return true;
    };
    await expect(store.put('a', inPieces(content, []), {})).rejects.toMatchObject({
      code: 'storeUnreachable',
    });
    expect(hasDied).toBe(true);
    expect(s3.objects.size).toBe(0);
    s3.intercept = () => false;
    await s3.start(Number(port));
    await store.put('a', inPieces(content, []), {});
    expect((await contentOf(store, 'a')).equals(content)).toBe(true);
  });

  test('whose server dies while an object is read gives the rest when it is back', async () => {
    const content = random(3_000_000);
    s3.objects.set('p/a', content);
    failFirst(2, 'GET', ({ headers }, response) => {
      const from = Number(/\d+/.exec(headers.range ?? '0')![0]);
      const rest = content.subarray(from);
      response.setHeader('content-length', rest.length);
      if (from > 0) response.writeHead(206, { 'content-range': `bytes ${from}-` });
      response.write(rest.subarray(0, 1_000_000), () => response.destroy());
      return true;
    });
    expect((await contentOf(store, 'a')).equals(content)).toBe(true);
  });

  test('gives no mixture of an object and one that took its place while it was read', async () => {
    const content = random(3_000_000);
    s3.objects.set('p/a', Buffer.from('another'));
    failFirst(1, 'GET', (_, response) => {
      response.setHeader('content-length', content.length).setHeader('etag', '"before"');
      response.write(content.subarray(0, 1_000_000), () => response.destroy());
      return true;
    });
    await expect(contentOf(store, 'a')).rejects.toThrow('412 PreconditionFailed');
  });

  test('whose server always breaks off is said to do so', async () => {
    s3.intercept = (_, response) => {
      response.setHeader('content-length', 100);
      response.write('half', () => response.destroy());
      return true;
    };
    await expect(contentOf(store, 'a')).rejects.toMatchObject({
      code: expect.stringMatching('storeUnreachable|storeFailed'),
    });
  });

  test('has the object where only the answer to its completion was lost', async () => {
    const content = random(PART + 1);
    let isFirst = true;
    s3.intercept = ({ method, query, key }, response) => {
      const isCompletion = method === 'POST' && query.has('uploadId');
      if (!isCompletion || !isFirst) return false;
      isFirst = false;
      const { parts } = s3.uploads.get(query.get('uploadId')!)!;
      s3.objects.set(key, Buffer.concat([...parts.values()]));
      s3.uploads.clear();
      response.destroy();
      return true;
    };
    expect((await store.put('a', inPieces(content, []), {})).sizeBytes).toBe(content.length);
    expect((await contentOf(store, 'a')).equals(content)).toBe(true);
  });

  test('whose completion ends with an error in an answer of success has not got the object', async () => {
    s3.intercept = ({ method, query }, response) => {
      if (method !== 'POST' || !query.has('uploadId')) return false;
      response.setHeader('content-type', 'application/xml').end('<Error><Code>InternalError</Code></Error>');
      return true;
    };
    await expect(store.put('a', inPieces(random(PART + 1), []), {})).rejects.toMatchObject({
      code: 'storeFailed',
      message: expect.stringContaining('InternalError'),
    });
    expect(s3.uploads.size).toBe(0);
  });

  test.each([
    'InitiateMultipartUpload',
    's3:InitiateMultipartUploadResult',
    'InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"',
  ])('may answer with a root element of another name: %s', async (root) => {
    const content = random(PART + 1);
    s3.intercept = ({ method, query, key }, response) => {
      if (method !== 'POST' || !query.has('uploads')) return false;
      s3.uploads.set('the-id', { key, begin: new Date(), parts: new Map() });
      const [name] = root.split(' ');
      const xml = `<${root}><Bucket>b</Bucket><UploadId>the-id</UploadId></${name}>`;
      response.setHeader('content-type', 'text/xml; charset=utf-8').end(`<?xml version="1.0"?>\n${xml}`);
      return true;
    };
    await store.put('a', inPieces(content, []), {});
    expect((await contentOf(store, 'a')).equals(content)).toBe(true);
  });

  describe('whose server answers 404', () => {
    /** Makes every request of a store, and an upload in parts from its beginning to its end. */
    const operations = (): Promise<unknown>[] => [
      store.put('a', Buffer.from('x'), {}),
      store.put('a', inPieces(random(PART + 1), []), {}),
      collect(store.get('a', {})),
      collect(store.list('', {})),
      collect(store.folders('', {})),
      store.delete('a', {}),
      store.removeLeftovers({}),
    ];

    test('with a code that means something else says code and text, and takes nothing for absent', async () => {
      s3.intercept = refuse(404, 'XAdminUserNotFound');
      for (const outcome of await Promise.allSettled(operations())) {
        expect((outcome as PromiseRejectedResult).reason).toMatchObject({
          code: 'storeFailed',
          message: expect.stringContaining('the server answered 404 XAdminUserNotFound: A message.'),
        });
      }
    });

    test('without a code, as a proxy does, says so, and takes nothing for absent', async () => {
      s3.intercept = (_, response) => {
        response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not Found</h1>');
        return true;
      };
      for (const outcome of await Promise.allSettled(operations())) {
        expect((outcome as PromiseRejectedResult).reason).toMatchObject({
          code: 'storeFailed',
          message: expect.stringMatching(/the server answered 404$/),
        });
      }
    });

    test('since there is no bucket says that', async () => {
      s3.intercept = refuse(404, 'NoSuchBucket');
      for (const outcome of await Promise.allSettled(operations())) {
        expect((outcome as PromiseRejectedResult).reason).toMatchObject({ code: 'bucketMissing' });
      }
    });

    test('since there is no object says that, and has deleted it', async () => {
      s3.intercept = refuse(404, 'NoSuchKey');
      await expect(contentOf(store, 'a')).rejects.toMatchObject({ code: 'objectMissing' });
      await store.delete('a', {});
      await expect(namesOf(store, '')).rejects.toMatchObject({ code: 'storeFailed' });
    });

    test('to every part of an upload says so', async () => {
      const isStep = {
        begin: ({ method, query }: ScriptedRequest) => method === 'POST' && query.has('uploads'),
        part: ({ query }: ScriptedRequest) => query.has('partNumber'),
        complete: ({ method, query }: ScriptedRequest) => method === 'POST' && query.has('uploadId'),
      };
      for (const isThis of Object.values(isStep)) {
        s3.intercept = (request, response) => {
          if (!isThis(request)) return false;
          answerError(response, 404, 'NoSuchUpload');
          return true;
        };
        await expect(store.put('a', inPieces(random(PART + 1), []), {})).rejects.toMatchObject({
          code: 'storeFailed',
          message: expect.stringContaining('404 NoSuchUpload'),
        });
      }
    });
  });

  test('tells no key that a server repeats in its text', async () => {
    const { accessKeyId, secretAccessKey } = s3;
    s3.intercept = (_, response) => {
      response.writeHead(400, { 'content-type': 'application/xml' });
      response.end(
        `<Error><Code>Odd</Code><Message>${accessKeyId}\n or ${secretAccessKey}</Message></Error>`,
      );
      return true;
    };
    await expect(store.delete('a', {})).rejects.toThrow('the server answered 400 Odd: … or …');
  });

  test('that something else answers for is not taken for an empty one', async () => {
    const server = createServer((_, response) =>
      response.setHeader('content-type', 'text/html').end('<p>Hello</p>'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const wrong = storeWith({ endpoint: `http://127.0.0.1:${port}` });
    await expect(namesOf(wrong, '')).rejects.toThrow('what answers there is no S3 server');
    server.close();
    server.closeAllConnections();
  });

  test('is rid of uploads that are a day old, and of no others', async () => {
    const upload = (key: string, ageMs: number) => ({
      key,
      begin: new Date(Date.now() - ageMs),
      parts: new Map(),
    });
    s3.uploads.set('old', upload('p/a', 25 * 3_600_000));
    s3.uploads.set('young', upload('p/a', 1000));
    s3.uploads.set('foreign', upload('q/a', 25 * 3_600_000));
    s3.uploads.set('old, too', upload('p/b', 25 * 3_600_000));
    s3.uploadsPerPage = 2;
    expect(await store.removeLeftovers({})).toBe(2);
    expect([...s3.uploads.keys()]).toEqual(['young', 'foreign']);
  });
});
