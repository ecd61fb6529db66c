import type { FollowerNodeSighting } from '@coxswain/replication';
import type { Position } from './tso.js';

/** The topic under which the members of a cluster ask each other for reports. */
export const REPORT_TOPIC = 'tidb-binlog';

/** A question of one member to the others. */
export interface ReportQuestion {
  /** The table whose position is asked for; undefined to ask for the followers of all tables and for no position. */
  readonly table: string | undefined;
  /**
   * True makes the answering member end the log streams that wait for entries, so that followers ask again and thereby
   * report their positions.
   */
  readonly endsWaiting: boolean;
}

/** The position of a follower, or of one node of a follower cluster, in a table. */
export interface FollowedTable {
  readonly table: string;
  readonly follower: string;
  /** The follower's cluster id; empty when the follower gave none. */
  readonly clusterId: string;
  /** The leader cluster's index that the follower had applied when it last asked. */
  readonly appliedIndex: number;
  /** Milliseconds since the follower last asked. */
  readonly lastSeenMsAgo: number;
}

/** A member's report about itself and about its followers. */
export interface MemberReport {
  /** True when this node is to be paused and neither sends nor takes entries any more. */
  readonly isQuiet: boolean;
  /** The member's clock, in milliseconds since 1970. */
  readonly nowMs: number;
  /** The table's position on this member; undefined when the table is not here or was not asked about. */
  readonly position: Position | undefined;
  readonly followed: readonly FollowedTable[];
  readonly followerNodes: readonly FollowerNodeSighting[];
}

/** Encodes a question as JSON. */
export function encodeQuestion({ table, endsWaiting }: ReportQuestion): Buffer {
  return Buffer.from(JSON.stringify({ table, endsWaiting }));
}

/** Decodes a question; undefined when the bytes are none. */
export function decodeQuestion(bytes: Buffer): ReportQuestion | undefined {
  const value = parse(bytes);
  if (value === undefined) return undefined;
  const { table, endsWaiting } = value;
  return { table: typeof table === 'string' ? table : undefined, endsWaiting: endsWaiting === true };
}

/** Encodes a report as JSON: some 100 bytes for each table of each follower cluster, and for each of its nodes. */
export function encodeReport(report: MemberReport): Buffer {
  return Buffer.from(JSON.stringify(report));
}

/**
 * Decodes a report; undefined when the bytes are none. Its fields are not checked, since a member of the cluster wrote
 * them.
 */
export function decodeReport(bytes: Buffer): MemberReport | undefined {
  const value = parse(bytes);
  const isReport = Array.isArray(value?.['followed']) && Array.isArray(value['followerNodes']);
  return isReport ? (value as unknown as MemberReport) : undefined;
}

function parse(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
