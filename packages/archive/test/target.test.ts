import { describe, expect, test } from '@jest/globals';
import { openArchiveStore } from '../src/target.js';

const S3 = { endpoint: '', region: '', accessKeyId: 'id', secretAccessKey: 'secret' };

describe("the archive's target", () => {
  test.each([
    ['file:///var/lib/archive', 'file:///var/lib/archive'],
    ['file:///with%20space/', 'file:///with%20space/'],
    ['s3://bucket', 's3://bucket'],
    ['s3://bucket/', 's3://bucket'],
    ['s3://bucket/a/b/', 's3://bucket/a/b'],
  ])('%s is opened', (target, url) => {
    expect(openArchiveStore({ ...S3, target }).url).toBe(url);
  });

  test.each([
    'file:///',
    'file://host/share',
    'file:relative',
    '/var/lib/archive',
    's3://',
    's3:///prefix',
    's3://bucket/a//b',
    's3://bucket/../up',
    'gs://bucket',
  ])('%s is refused', (target) => {
    expect(() => openArchiveStore({ ...S3, target })).toThrow(
      expect.objectContaining({ code: 'targetInvalid', message: expect.stringContaining(target) }),
    );
  });

  test('an endpoint is a host and a port, and an error about one tells no password', () => {
    expect(() =>
      openArchiveStore({ ...S3, target: 's3://bucket', endpoint: 'http://127.0.0.1:9000/' }),
    ).not.toThrow();
    for (const endpoint of ['127.0.0.1:9000', 'ftp://host', 'http://host/path', 'http://user:secret@host']) {
      expect(() => openArchiveStore({ ...S3, target: 's3://bucket', endpoint })).toThrow(
        /archive\.s3-endpoint must be (?!.*secret)/,
      );
    }
    expect(() => openArchiveStore({ ...S3, target: 's3://id:secret@bucket' })).toThrow(/^(?!.*secret)/);
  });
});
