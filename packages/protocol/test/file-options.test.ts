import { expect, test } from '@jest/globals';
import descriptor from 'protobufjs/ext/descriptor.js';
import { descriptorSet } from '../src/index.js';

interface FileOptions {
  readonly goPackage?: string;
  readonly javaPackage?: string;
  readonly javaMultipleFiles?: boolean;
  readonly csharpNamespace?: string;
}

const { file: files } = descriptor.FileDescriptorSet.decode(descriptorSet()) as unknown as {
  readonly file: readonly {
    readonly name: string;
    readonly package?: string;
    readonly options?: FileOptions;
  }[];
};
const ours = files.filter(({ name }) => !name.startsWith('google/'));

test.each(ours.map(({ name, options }) => [name, options] as const))(
  '%s says where code that is generated for Go, Java and C# belongs',
  (_name, options) => {
    expect(options).toMatchObject({
      goPackage: expect.stringMatching(/^[\w./]+\/[\w.]+(;\w+)?$/),
      javaPackage: expect.stringMatching(/^\w+([.]\w+)+$/),
      javaMultipleFiles: true,
      csharpNamespace: expect.stringMatching(/^[A-Z]\w*([.][A-Z]\w*)+$/),
    });
  },
);

test('two files share a package there when they share one here, and only then', () => {
  const packageCount = new Set(ours.map((file) => file.package)).size;
  for (const option of ['goPackage', 'javaPackage', 'csharpNamespace'] as const) {
    expect(new Set(ours.map(({ options }) => options?.[option])).size).toBe(packageCount);
  }
});
