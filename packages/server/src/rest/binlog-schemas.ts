/** These schemas of the HTTP API of TiDB-Binlog check its requests, and the page of the API is made from them. */

const ts = {
  type: 'integer',
  format: 'int64',
  description:
    'A TSO: milliseconds since 1970 in all but the low 18 bits, and in those the low bits of the revision. Beyond 2^53: read it exactly. 0: nothing that has a time was written yet, or it is not known.',
} as const;

const nodeObject = {
  type: 'object',
  description: 'A Pump or a Drainer.',
  additionalProperties: false,
  required: ['nodeId', 'host', 'state', 'isAlive', 'score', 'label', 'maxCommitTS', 'updateTS'],
  properties: {
    nodeId: { type: 'string', description: 'The name of the node, as PUT /state takes it.' },
    host: { type: 'string', description: 'host:port of its REST listener.' },
    state: { type: 'string', enum: ['online', 'pausing', 'paused', 'closing', 'offline'] },
    isAlive: { type: 'boolean', description: 'It answers, or was heard within 90 s.' },
    score: { type: 'integer', enum: [0] },
    label: { type: 'null' },
    maxCommitTS: {
      ...ts,
      description: 'What it has applied of the table; 0: nothing was written, or it does not answer.',
    },
    updateTS: { ...ts, description: 'When it was heard last, by its clock.' },
  },
} as const;

const pumpStatus = {
  type: 'object',
  description: 'On a node of a leader cluster, a Pump.',
  additionalProperties: false,
  required: ['status', 'CommitTS', 'Checkpoint', 'ErrMsg'],
  properties: {
    status: {
      type: ['object', 'null'],
      description: 'The nodes of the cluster by nodeId; null on failure.',
      additionalProperties: nodeObject,
    },
    CommitTS: { ...ts, description: 'The newest entry of the table; 0: nothing was written, or on failure.' },
    Checkpoint: { type: 'object', additionalProperties: false },
    ErrMsg: { type: 'string', description: 'What went wrong; empty: nothing.' },
  },
} as const;

const drainerStatus = {
  type: 'object',
  description: 'On a node of a follower cluster, a Drainer.',
  additionalProperties: false,
  required: ['PumpPos', 'Synced', 'LastTS', 'TsMap'],
  properties: {
    PumpPos: {
      type: ['object', 'null'],
      description:
        'What was taken of the table, for each node of the leader cluster; null before it was met.',
      additionalProperties: ts,
    },
    Synced: { type: 'boolean', description: 'Nothing of the table is waiting.' },
    LastTS: { ...ts, description: 'The last entry of the table that is applied here.' },
    TsMap: { type: 'string', enum: [''] },
  },
} as const;

const answer = (data: object) => ({
  type: 'object',
  additionalProperties: false,
  required: ['message', 'code', 'data'],
  properties: {
    message: { type: 'string' },
    code: { type: 'integer', enum: [200, 3], description: '200: it is done. 3: it is refused.' },
    data,
  },
});

const table = { type: 'string', description: 'The table; default: the first by name.' } as const;
const text = { type: 'string' } as const;
const tags = ['TiDB-Binlog'];
const unauthorized = {
  ...answer({ type: 'null' }),
  description: 'maintenance.token, or else rest.token, is set, and the request does not present it.',
};

/** Describes an answer of one content type. */
const as = (contentType: string, description: string, schema: object) => ({
  description,
  content: { [contentType]: { schema } },
});

const inText = (description: string, schema: object) => as('text/plain', description, schema);
const inJson = (description: string, schema: object) => as('application/json', description, schema);

const querystring = { type: 'object', properties: { table } } as const;
const repeated = inText('A parameter of the query is given more than once.', text);
const security = [{}, { token: [] }];

export const schemas = {
  status: {
    tags,
    summary: 'The state of every Pump, or of this Drainer',
    querystring,
    response: {
      200: inText('One line of JSON.', { anyOf: [pumpStatus, drainerStatus] }),
      400: repeated,
      404: inText('On a Drainer: there is no such table.', text),
      503: inText('On a Drainer: the table cannot be read now.', text),
    },
  },
  drainers: {
    tags,
    summary: 'The nodes of follower clusters that were heard within five minutes, on a Pump',
    description: 'Where the table is not on this node, as one that there is not, every maxCommitTS is 0.',
    querystring,
    response: {
      200: inText('One line of JSON.', { type: 'array', items: nodeObject }),
      400: repeated,
      404: inText('This node is a Drainer.', text),
    },
  },
  commitTs: {
    tags,
    summary: 'The newest entry of a table',
    description:
      'On a Pump by a quorum of its replicas, on a Drainer the last one that is applied here. Of the table of wolf.raft only the member that leads it answers, here and under /status. A refusal has the status 200 and code 3.',
    querystring,
    response: {
      200: inJson(
        'Indented JSON.',
        answer({
          type: ['object', 'null'],
          required: ['ts'],
          additionalProperties: false,
          properties: { ts },
        }),
      ),
      400: repeated,
    },
  },
  state: {
    tags,
    security,
    summary: 'Pause, resume or close a node',
    description:
      'pause: the node replicates no longer; a paused Drainer pauses its whole cluster. resume: it does again. close, stop: a Pump waits until every follower cluster has all that it took; then the node stops. Any node takes it for any node of its cluster. A refusal has the status 200 and code 3.',
    params: {
      type: 'object',
      required: ['nodeID', 'action'],
      properties: {
        nodeID: { type: 'string', description: 'As GET /status gives it.' },
        action: { type: 'string', description: 'pause, resume, close or stop.' },
      },
    },
    response: { 200: inJson('Indented JSON.', answer({ type: 'null' })), 401: inJson('', unauthorized) },
  },
  entry: {
    tags,
    security,
    summary: 'The entry of a table that a TSO stands for',
    params: {
      type: 'object',
      required: ['ts'],
      properties: { ts: { type: 'string', description: 'A TSO, decimal.' } },
    },
    querystring: {
      type: 'object',
      properties: { table, values: { type: 'string', description: '1: values are shown too.' } },
    },
    response: {
      200: inText('What it is, or why it cannot be shown.', text),
      400: repeated,
      401: inJson('', unauthorized),
    },
  },
  garbage: {
    tags,
    security,
    summary: "Compact this node's logs now",
    response: {
      200: inText('The first line is "trigger gc success", or "gc is working".', text),
      401: inJson('', unauthorized),
      503: inText('The logs cannot be compacted now.', text),
    },
  },
} as const;
