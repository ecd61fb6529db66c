/** The meta group's shard id (ARCHITECTURE.md, "Groups"). */
export const META_SHARD = 1000;
/** The group of the table that is replicated over wolf.raft; the registry's shards begin at `FIRST_TABLE_SHARD`. */
export const WOLF_SHARD = 1001;
export const FIRST_TABLE_SHARD = 10_001;

/**
 * A shard that takes over a table's name starts its log this far above the last index that the name ever
 * had, so that no old cursor and no old compare can match by accident (T1).
 */
export const BASE_STEP = 1_000_000_000;
