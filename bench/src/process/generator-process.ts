import { ClosedLoop, type LoadResult, type LoadSpecification } from '../load/closed-loop.js';
import { etcdDialect } from '../load/etcd-dialect.js';
import { regattaDialect } from '../load/regatta-dialect.js';
import { serveRequests } from './worker-process.js';

const dialects = { etcd: etcdDialect, regatta: regattaDialect };

/** What the load generator is asked for: one run. */
export interface GeneratorRequest {
  readonly dialect: keyof typeof dialects;
  readonly load: LoadSpecification;
}

serveRequests<GeneratorRequest, LoadResult>(({ dialect, load }) =>
  new ClosedLoop(load, dialects[dialect]).run(),
);
