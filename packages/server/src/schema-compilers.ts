import type { FastifyInstance } from 'fastify';

/** For a new instance of fastify: its own compilers of schemas are not loaded. `compileSchemas` must be called. */
export const noCompilers = { compilersFactory: { buildValidator: unused, buildSerializer: unused } };

function unused(): never {
  throw new Error('a route was added before compileSchemas was called');
}

/**
 * Gives an instance of fastify compilers of schemas in the place of its own, which would be loaded at every start, 100
 * modules: requests are checked by ajv, as there, but it is loaded for the first request of a route that has a schema.
 * Answers are written by whoever makes them; their schemas are for the page of the API.
 */
export function compileSchemas(http: FastifyInstance): void {
  http.setValidatorCompiler<object>(({ schema }) => {
    let compiled: Promise<Check> | undefined;
    const check = async (data: unknown): Promise<void> => {
      compiled ??= compile(schema).catch((error: unknown) => {
        // It may be found again, as when there were too few descriptors.
        compiled = undefined;
        throw error;
      });
      (await compiled)(data);
    };
    // Fastify waits for it, which its types do not say.
    return check as (data: unknown) => never;
  });
  http.setSerializerCompiler(() => JSON.stringify);
}

/** Throws an error with status 400 for what does not fit the schema. */
type Check = (data: unknown) => void;

async function compile(schema: object): Promise<Check> {
  // What a bundle makes of it has no names of its own.
  const { default: library } = await import('ajv');
  const ajv = new library.Ajv();
  const validate = ajv.compile(schema);
  return (data) => {
    if (validate(data)) return;
    throw Object.assign(new Error(ajv.errorsText(validate.errors)), { statusCode: 400 });
  };
}
