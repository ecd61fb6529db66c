import type { FollowerNodeSighting } from '@coxswain/replication';
import type { Position } from './tso.js';

/** The topic under which the members of a cluster ask each other for reports. */
export const REPORT_TOPIC = 'tidb-binlog';

/** What a member asks the others. */
export interface ReportQuestion {
  /** The table that is asked about; undefined: all, and no position. */
  readonly table: string | undefined;
  /** Streams of the log that wait are ended, so that followers ask again, and say what they have by then. */
  readonly endsWaiting: boolean;
}

/** How far a follower, or one of its cluster's nodes, has a table. */
export interface FollowedTable {
  readonly table: string;
  readonly follower: string;
  /** Empty: it gave none. */
  readonly clusterId: string;
  /** What it has applied, by what it said when it asked last. */
  readonly appliedIndex: number;
  readonly lastSeenMsAgo: number;
}

/** What a member says of itself, and of those that follow it. */
export interface MemberReport {
  /** This node neither sends nor takes anything, since it is to be paused. */
  readonly isQuiet: boolean;
  /** Its clock, in milliseconds since 1970. */
  readonly nowMs: number;
  /** Where the table is here; undefined: it is not here, or was not asked about. */
  readonly position: Position | undefined;
  readonly followed: readonly FollowedTable[];
  readonly followerNodes: readonly FollowerNodeSighting[];
}

export function encodeQuestion({ table, endsWaiting }: ReportQuestion): Buffer {
  return Buffer.from(JSON.stringify({ table, endsWaiting }));
}

/** Undefined: these bytes are no question. */
export function decodeQuestion(bytes: Buffer): ReportQuestion | undefined {
  const value = parse(bytes);
  if (value === undefined) return undefined;
  const { table, endsWaiting } = value;
  return { table: typeof table === 'string' ? table : undefined, endsWaiting: endsWaiting === true };
}

/** As JSON, some 100 bytes for each table of each follower cluster, and for each of its nodes. */
export function encodeReport(report: MemberReport): Buffer {
  return Buffer.from(JSON.stringify(report));
}

/** Undefined: these bytes are no report. A member of the cluster wrote it: what it holds is believed. */
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
