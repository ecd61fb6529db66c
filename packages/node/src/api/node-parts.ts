import type { ClusterApi } from './cluster-api.js';
import type { FollowerControl } from './follower-control.js';
import type { KvApi } from './kv-api.js';
import type { LogsApi } from './logs-api.js';
import type { MaintenanceControl } from './maintenance-control.js';
import type { MemberControl } from './member-control.js';
import type { ReportsApi } from './reports-api.js';
import type { TablesApi } from './tables-api.js';

/**
 * The objects that a node hands out. A user of a node takes the ones that it needs: `Pick<NodeParts, 'kv' |
 * 'cluster'>`.
 */
export interface NodeParts {
  readonly kv: KvApi;
  readonly tables: TablesApi;
  readonly cluster: ClusterApi;
  readonly logs: LogsApi;
  readonly follower: FollowerControl;
  readonly maintenance: MaintenanceControl;
  readonly members: MemberControl;
  readonly reports: ReportsApi;
}
