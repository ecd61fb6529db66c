import { ClosedLoop, type LoadResult, type LoadSpecification } from '../load/closed-loop.js';
import { etcdDialect } from '../load/etcd-dialect.js';
import { regattaDialectOf, tableNames } from '../load/regatta-dialect.js';
import { serveRequests } from './worker-process.js';

/** A request to the load generator: one run. */
export interface GeneratorRequest {
  readonly dialect: 'etcd' | 'regatta';
  /** The number of tables over which the load is spread; etcd has none. */
  readonly tableCount: number;
  readonly load: LoadSpecification;
}

serveRequests<GeneratorRequest, LoadResult>(({ dialect, tableCount, load }) => {
  const dialects = dialect === 'etcd' ? [etcdDialect] : tableNames(tableCount).map(regattaDialectOf);
  return new ClosedLoop(load, ...dialects).run();
});
