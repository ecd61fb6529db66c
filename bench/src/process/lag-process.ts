import { LagProbe, type LagResult, type LagSpecification } from '../load/lag-probe.js';
import { serveRequests } from './worker-process.js';

serveRequests<LagSpecification, LagResult>((specification) => new LagProbe(specification).run());
