/**
 * The `schemaController` of an instance of fastify. It replaces fastify's own compilers of schemas, 100 modules that
 * would be loaded at every start. Requests are checked by ajv, as by fastify, but it is loaded at the first request of
 * a route that has a schema. Handlers write their answers themselves; the schemas of answers are only for the page of
 * the API.
 */
export const lazyCompilers = {
  compilersFactory: {
    // Fastify passes an object with the schema, and waits for the returned promise, which its types do not show.
    buildValidator: () => compileWhenAsked as never,
    buildSerializer: () => () => JSON.stringify,
  },
};

function compileWhenAsked({ schema }: { readonly schema: object }): (data: unknown) => Promise<void> {
  let compiled: Promise<Check> | undefined;
  return async (data) => {
    compiled ??= compile(schema).catch((error: unknown) => {
      // Loading may succeed the next time, as after a lack of descriptors.
      compiled = undefined;
      throw error;
    });
    (await compiled)(data);
  };
}

/** Throws an error with status 400 when the data does not fit the schema. */
type Check = (data: unknown) => void;

async function compile(schema: object): Promise<Check> {
  // In the bundle, ajv has no named exports.
  const { default: library } = await import('ajv');
  const ajv = new library.Ajv();
  const validate = ajv.compile(schema);
  return (data) => {
    if (validate(data)) return;
    throw Object.assign(new Error(ajv.errorsText(validate.errors)), { statusCode: 400 });
  };
}
