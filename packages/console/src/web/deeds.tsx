import type { ActionAnswer, BackupAnswer, MemberRow } from '../api.js';
import type { Deed } from './dialog.js';
import { counted } from './format.js';
import { post } from './http.js';

/** What operators can have done, each with what they must know before. */

async function act(path: string, body: object): Promise<string> {
  return (await post<ActionAnswer>(path, body)).message;
}

export function pauseDeed(member: MemberRow, isLeaderCluster: boolean): Deed {
  return {
    title: `Pause ${member.name}`,
    verb: 'Pause',
    effect: isLeaderCluster ? (
      <>
        <p>
          <b>{member.name}</b> gives follower clusters neither its log nor snapshots until it is resumed: they
          go to the next member that they know, and stand still where there is none.
        </p>
        <p>
          Clients of this cluster read and write as before; the archive and backups go on. The pause outlives
          a restart.
        </p>
      </>
    ) : (
      <>
        <p>
          <b>The whole follower cluster</b> takes nothing from its leader cluster any more, on any node, until
          every paused member is resumed: what one member takes is applied on all.
        </p>
        <p>
          Local reads go on, of older and older data. Writes through this cluster are refused, since they
          would not arrive here. The pause outlives a restart.
        </p>
      </>
    ),
    run: () => act('/actions/pause', { member: member.id }),
  };
}

export function resumeDeed(member: MemberRow, isLeaderCluster: boolean): Deed {
  return {
    title: `Resume ${member.name}`,
    verb: 'Resume',
    effect: isLeaderCluster ? (
      <p>
        <b>{member.name}</b> gives follower clusters its log and snapshots again.
      </p>
    ) : (
      <p>
        <b>{member.name}</b> is online again. Once no member is paused, the follower cluster takes what it
        lacks from its leader cluster, or a snapshot of tables whose log is gone there.
      </p>
    ),
    run: () => act('/actions/resume', { member: member.id }),
  };
}

export function garbageDeed(nodeName: string): Deed {
  return {
    title: 'Compact the logs now',
    verb: 'Compact',
    effect: (
      <>
        <p>
          <b>{nodeName}</b> drops the entries of its logs that neither members, nor follower clusters that
          were heard lately, nor the archive may still need. Tables and their history stay as they are.
        </p>
        <p>The node does this by itself as logs grow: it is of use when the disk is short of room.</p>
      </>
    ),
    run: () => act('/actions/gc', {}),
  };
}

export function transferDeed(table: string, from: string, to: MemberRow): Deed {
  return {
    title: `Let ${to.name} lead ${table}`,
    verb: 'Transfer leadership',
    effect: (
      <>
        <p>
          {from === '' ? 'Whoever leads' : <b>{from}</b>} hands table <b>{table}</b> over to <b>{to.name}</b>:
          it sends what {to.name} lacks and has it elected at once.
        </p>
        <p>
          Writes of this table wait for that, most often some milliseconds; none is lost or done twice. If{' '}
          {to.name} does not take over within an election timeout, nothing has changed.
        </p>
      </>
    ),
    run: () => act('/actions/transfer', { table, member: to.id }),
  };
}

export function backupDeed(tables: readonly string[], tableCount: number): Deed {
  const what = tables.length === 0 ? `all ${counted(tableCount, 'table')}` : `table ${tables.join(', ')}`;
  return {
    title: `Back up ${what}`,
    verb: 'Download',
    effect: (
      <>
        <p>
          Your browser saves a ZIP with {tables.length === 0 ? <b>all tables</b> : <b>{tables.join(', ')}</b>}
          : each table as it is at one revision when its turn comes, and the manifest of a backup directory.
        </p>
        <p>
          The node reads every key of them, at the pace of your connection and within{' '}
          <code>maintenance.backup-bytes-per-second</code>. To restore: unpack it, then{' '}
          <code>coxswain restore --dir DIRECTORY</code>.
        </p>
        <p>The file holds keys and values as they are: keep it as you keep the database.</p>
      </>
    ),
    run: async () => {
      const { path } = await post<BackupAnswer>('/actions/backup', { tables });
      const link = document.createElement('a');
      link.href = `.${path}`;
      link.download = '';
      link.click();
      return `The download of ${what} has begun.`;
    },
  };
}

export function deleteTableDeed(table: string): Deed {
  return {
    title: `Delete table ${table}`,
    verb: 'Delete table',
    isDangerous: true,
    typed: table,
    effect: (
      <>
        <p>
          Table <b>{table}</b> is deleted on every node, <b>with all of its keys and its history</b>. Clients
          that use it get <code>table not found</code>. Follower clusters take it out of service too.
        </p>
        <p>There is no undo: only a backup or the archive brings it back.</p>
      </>
    ),
    run: () => act('/tables/delete', { table }),
  };
}

export function createTableDeed(table: string): Deed {
  return {
    title: `Create table ${table}`,
    verb: 'Create table',
    effect: (
      <p>
        An empty table <b>{table}</b> is made, with a Raft group of its own on every node. Follower clusters
        get it as well.
      </p>
    ),
    run: () => act('/tables/create', { table }),
  };
}
