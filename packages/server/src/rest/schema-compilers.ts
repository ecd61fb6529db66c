/**
 * The `schemaController` of an instance of fastify: compilers of schemas in the place of its own, which would be loaded at
 * every start, 100 modules. Requests are checked by ajv, as there, but it is loaded for the first request of a route that
 * has a schema. Answers are written by whoever makes them; their schemas are for the page of the API.
 */
export const lazyCompilers = {
  compilersFactory: {
    // Fastify gives it an object with the schema, and waits for what it returns, which its types do not say.
    buildValidator: () => compileWhenAsked as never,
    buildSerializer: () => () => JSON.stringify,
  },
};

function compileWhenAsked({ schema }: { readonly schema: object }): (data: unknown) => Promise<void> {
  let compiled: Promise<Check> | undefined;
  return async (data) => {
    compiled ??= compile(schema).catch((error: unknown) => {
      // It may be found again, as when there were too few descriptors.
      compiled = undefined;
      throw error;
    });
    (await compiled)(data);
  };
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
