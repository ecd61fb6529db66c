import type { Entry, HardState, Membership, Message, SnapshotMetadata } from '../../src/index.js';

/** Index and term, as `11/2`. */
function position(index: number, term: number): string {
  return `${index}/${term}`;
}

function entry({ index, term, data }: Entry): string {
  return data.length === 0 ? position(index, term) : `${position(index, term)} "${data.toString()}"`;
}

export function entries(list: readonly Entry[]): string {
  return `[${list.map(entry).join(', ')}]`;
}

function membership({ voters, learners }: Membership): string {
  return `voters=(${voters.join(',')})${learners.length > 0 ? ` learners=(${learners.join(',')})` : ''}`;
}

export function snapshot(metadata: SnapshotMetadata): string {
  return `${position(metadata.index, metadata.term)} ${membership(metadata.membership)}`;
}

export function hardState({ term, vote, commit }: HardState): string {
  return `term=${term} vote=${vote} commit=${commit}`;
}

function body(message: Message): string {
  switch (message.type) {
    case 'preVote':
      return `log=${position(message.lastIndex, message.lastTerm)}`;
    case 'vote':
      return `log=${position(message.lastIndex, message.lastTerm)}${message.isTransfer ? ' transfer' : ''}`;
    case 'preVoteResponse':
    case 'voteResponse':
      return message.granted ? 'granted' : 'refused';
    case 'append':
      return `prev=${position(message.prevIndex, message.prevTerm)} commit=${message.commit} ${entries(message.entries)}`;
    case 'appendResponse':
      return message.rejected
        ? `rejected=${message.index} hint=${position(message.hintIndex, message.hintTerm)}`
        : `match=${message.index}`;
    case 'heartbeat':
      return `commit=${message.commit}${message.context === '' ? '' : ` context=${message.context}`}`;
    case 'heartbeatResponse':
      return `commit=${message.commit}${message.context === '' ? '' : ` context=${message.context}`}`;
    case 'installSnapshot':
      return snapshot(message.snapshot);
    case 'readIndex':
      return `context=${message.context}`;
    case 'readIndexResponse':
      return `context=${message.context} index=${message.index}`;
    case 'timeoutNow':
      return '';
  }
}

export function message(what: Message): string {
  return `${what.from}->${what.to} ${what.type} term=${what.term} ${body(what)}`.trimEnd();
}
