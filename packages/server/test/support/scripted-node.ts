import type {
  Call,
  NodeApi,
  NodeMetrics,
  NodeStatus,
  Proposed,
  ReadableTable,
  Readiness,
  TableInfo,
} from '@coxswain/node';

/** A node that does what a test says: for errors that a healthy node of one does not show. */
export class ScriptedNode implements NodeApi {
  readonly role = 'leader';
  /** What every read and write does. */
  act: (call: Call) => Promise<never> = () => Promise.reject(new Error('nothing was scripted'));
  isReady = true;
  /** Besides those that depend on `isReady`. */
  conditions: Readonly<Record<string, boolean>> = {};

  propose(_table: string, _command: unknown, call: Call): Promise<Proposed> {
    return this.act(call);
  }

  read(_table: string, _options: unknown, call: Call): Promise<ReadableTable> {
    return this.act(call);
  }

  createTable(_name: string, _config: unknown, call: Call): Promise<TableInfo> {
    return this.act(call);
  }

  deleteTable(_name: string, call: Call): Promise<void> {
    return this.act(call);
  }

  listTables(call: Call): Promise<TableInfo[]> {
    return this.act(call);
  }

  status(): NodeStatus {
    return {
      nodeId: 1,
      role: 'leader',
      clusterId: undefined,
      incarnation: '',
      members: [],
      tables: [],
      quarantined: [],
      meta: undefined,
      isDiskFull: false,
      diskShortage: undefined,
      peers: [],
    };
  }

  readiness(): Readiness {
    const conditions = { hasNoLeader: !this.isReady, isDiskFull: false, ...this.conditions };
    return { isReady: this.isReady, conditions };
  }

  metrics(): NodeMetrics {
    throw new Error('a scripted node counts nothing');
  }
}
