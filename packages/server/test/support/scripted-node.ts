import type { Call, NodeParts, NodeStatus, Readiness } from '@coxswain/node';

/** A node that does what a test says: for errors that a healthy node of one does not show. */
export class ScriptedNode implements Pick<NodeParts, 'kv' | 'tables' | 'reports'> {
  /** What every read and write does. */
  act: (call: Call) => Promise<never> = () => Promise.reject(new Error('nothing was scripted'));
  isReady = true;
  /** Besides those that depend on `isReady`. */
  conditions: Readonly<Record<string, boolean>> = {};

  readonly cluster = { role: 'leader' } as NodeParts['cluster'];
  readonly kv: NodeParts['kv'] = {
    propose: (_table, _command, call) => this.act(call),
    read: (_table, _options, call) => this.act(call),
  };
  readonly tables: NodeParts['tables'] = {
    create: (_name, _config, call) => this.act(call),
    delete: (_name, call) => this.act(call),
    list: (call) => this.act(call),
  };
  readonly reports: NodeParts['reports'] = {
    status: () => STATUS,
    readiness: () => this.#readiness(),
    metrics: () => {
      throw new Error('a scripted node counts nothing');
    },
  };

  #readiness(): Readiness {
    const conditions = { hasNoLeader: !this.isReady, isDiskFull: false, ...this.conditions };
    return { isReady: this.isReady, conditions };
  }
}

const STATUS: NodeStatus = {
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
