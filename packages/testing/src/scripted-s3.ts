import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as the server has it, after its signature was found right. */
export interface ScriptedRequest {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

const REGION = 'eu-test-1';

/**
 * A server of S3 over HTTP that keeps objects in memory, checks every signature (s3rver believes all), and fails as a
 * test's script wants: `intercept` answers in its place where it gives true.
 */
export class ScriptedS3 {
  readonly bucket = 'bucket';
  readonly accessKeyId = 'AKIDEXAMPLE';
  readonly secretAccessKey = 'a-secret/of+some=length';
  readonly region = REGION;
  readonly objects = new Map<string, Buffer>();
  /** By id. */
  readonly uploads = new Map<string, { key: string; begin: Date; parts: Map<number, Buffer> }>();
  readonly requests: ScriptedRequest[] = [];
  uploadsPerPage = 1000;
  intercept: (request: ScriptedRequest, response: ServerResponse) => boolean = () => false;
  #server: Server | undefined;
  #uploadCount = 0;

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server!.address() as AddressInfo).port}`;
  }

  /** `port` of one that was stopped, to be there again. */
  async start(port = 0): Promise<void> {
    const server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    const server = this.#server!;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    const url = new URL(incoming.url!, 'http://s3');
    const { method, headers } = incoming as { method: string; headers: IncomingMessage['headers'] };
    const refusal = this.#refusal(method, url, headers);
    if (refusal) {
      answerError(response, refusal.status, refusal.code, refusal.more);
      return;
    }
    const [bucket, ...rest] = url.pathname.slice(1).split('/');
    const request = {
      method,
      key: decodeURIComponent(rest.join('/')),
      query: url.searchParams,
      headers,
      body,
    };
    this.requests.push(request);
    if (this.intercept(request, response)) return;
    if (bucket !== this.bucket) {
      answerError(response, 404, 'NoSuchBucket');
      return;
    }
    const md5 = headers['content-md5'];
    if (md5 !== undefined && md5 !== createHash('md5').update(body).digest('base64')) {
      answerError(response, 400, 'BadDigest');
      return;
    }
    if (request.key === '') this.#answerBucket(request, response);
    else if (request.query.has('uploads') || request.query.has('uploadId')) {
      this.#answerUpload(request, response);
    } else this.#answerObject(request, response);
  }

  /** SigV4, worked out from its documentation and not from any client. */
  #refusal(
    method: string,
    url: URL,
    headers: IncomingMessage['headers'],
  ): { status: number; code: string; more?: string } | undefined {
    const match =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
        headers.authorization ?? '',
      );
    if (!match) return { status: 403, code: 'AccessDenied' };
    const [, id, day, region, signed, signature] = match as unknown as string[];
    if (id !== this.accessKeyId) {
      return { status: 403, code: 'InvalidAccessKeyId', more: `<AWSAccessKeyId>${id}</AWSAccessKeyId>` };
    }
    if (region !== REGION) {
      return { status: 400, code: 'AuthorizationHeaderMalformed', more: `<Region>${REGION}</Region>` };
    }
    const encode = (text: string): string =>
      encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
    const query = [...url.searchParams]
      .map(([name, value]) => [encode(name), encode(value)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map((pair) => pair.join('='))
      .join('&');
    const names = signed!.split(';');
    const canonical = [
      method,
      url.pathname,
      query,
      ...names.map((name) => `${name}:${String(headers[name]).trim()}`),
      '',
      signed,
      headers['x-amz-content-sha256'],
    ].join('\n');
    const scope = `${day}/${region}/s3/aws4_request`;
    const sha256 = createHash('sha256').update(canonical).digest('hex');
    const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256].join('\n');
    const hmac = (key: string | Buffer, text: string): Buffer =>
      createHmac('sha256', key).update(text).digest();
    const key = [region!, 's3', 'aws4_request'].reduce<Buffer>(
      hmac,
      hmac(`AWS4${this.secretAccessKey}`, day!),
    );
    if (hmac(key, toSign).toString('hex') === signature) return undefined;
    return {
      status: 403,
      code: 'SignatureDoesNotMatch',
      more: `<AWSAccessKeyId>${id}</AWSAccessKeyId><StringToSign>${toSign}</StringToSign>`,
    };
  }

  #answerBucket({ query }: ScriptedRequest, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    if (query.has('uploads')) {
      // MinIO finds uploads by the whole key, or by none.
      const uploads = [...this.uploads].filter(([, { key }]) => prefix === '' || key === prefix);
      const from = uploads.findIndex(([id]) => id === query.get('upload-id-marker')) + 1;
      const page = uploads.slice(from, from + this.uploadsPerPage);
      const lines = page.map(
        ([id, { key, begin }]) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${begin.toISOString()}</Initiated></Upload>`,
      );
      const [nextId, nextUpload] = page.at(-1) ?? [];
      const next = `<NextKeyMarker>${nextUpload?.key}</NextKeyMarker><NextUploadIdMarker>${nextId}</NextUploadIdMarker>`;
      const isTruncated = from + page.length < uploads.length;
      const xml = `<IsTruncated>${isTruncated}</IsTruncated>${isTruncated ? next : ''}${lines.join('')}`;
      answerXml(response, `<ListMultipartUploadsResult>${xml}</ListMultipartUploadsResult>`);
      return;
    }
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, Number(query.get('max-keys')));
    const isTruncated = page.length < keys.length;
    const lines = page.map(
      (key) => `<Contents><Key>${key}</Key><Size>${this.objects.get(key)!.length}</Size></Contents>`,
    );
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    answerXml(
      response,
      `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${next}${lines.join('')}</ListBucketResult>`,
    );
  }

  #answerUpload({ method, key, query, body }: ScriptedRequest, response: ServerResponse): void {
    if (query.has('uploads')) {
      const id = `upload-${++this.#uploadCount}`;
      this.uploads.set(id, { key, begin: new Date(), parts: new Map() });
      const xml = `<UploadId>${id}</UploadId>`;
      answerXml(response, `<InitiateMultipartUploadResult>${xml}</InitiateMultipartUploadResult>`);
      return;
    }
    const id = query.get('uploadId')!;
    const upload = this.uploads.get(id);
    if (!upload) {
      answerError(response, 404, 'NoSuchUpload');
      return;
    }
    if (method === 'PUT') {
      upload.parts.set(Number(query.get('partNumber')), body);
      response.setHeader('etag', `"${etag(body)}"`).end();
      return;
    }
    this.uploads.delete(id);
    if (method === 'DELETE') {
      response.writeHead(204).end();
      return;
    }
    const numbers = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>(\w+)<\/ETag>/g)];
    const parts = numbers.map(([, number, tag]) => {
      const part = upload.parts.get(Number(number))!;
      if (etag(part) !== tag) throw new Error('not the part that was stored');
      return part;
    });
    this.objects.set(key, Buffer.concat(parts));
    answerXml(
      response,
      '<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>',
    );
  }

  #answerObject({ method, key, headers, body }: ScriptedRequest, response: ServerResponse): void {
    if (method === 'PUT') {
      this.objects.set(key, body);
      response.setHeader('etag', `"${etag(body)}"`).end();
      return;
    }
    if (method === 'DELETE') {
      this.objects.delete(key);
      response.writeHead(204).end();
      return;
    }
    const content = this.objects.get(key);
    if (!content) {
      answerError(response, 404, 'NoSuchKey');
      return;
    }
    const tag = `"${etag(content)}"`;
    if ((headers['if-match'] ?? tag) !== tag) {
      answerError(response, 412, 'PreconditionFailed');
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    if (headers.range !== undefined) {
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${from}-${content.length - 1}/${content.length}`);
    }
    response.setHeader('etag', tag).setHeader('content-length', content.length - from);
    response.end(method === 'HEAD' ? undefined : content.subarray(from));
  }
}

function etag(content: Buffer): string {
  return createHash('md5').update(content).digest('hex');
}

function answerXml(response: ServerResponse, xml: string): void {
  response.setHeader('content-type', 'application/xml').end(`<?xml version="1.0"?>\n${xml}`);
}

export function answerError(response: ServerResponse, status: number, code: string, more = ''): void {
  response.statusCode = status;
  answerXml(response, `<Error><Code>${code}</Code><Message>A message.</Message>${more}</Error>`);
}
