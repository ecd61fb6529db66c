/** The shard id of the meta group (ARCHITECTURE.md, "Groups"). */
export const META_SHARD = 1000;
/** The shard id of the table that is replicated over wolf.raft, which is not in the registry. */
export const WOLF_SHARD = 1001;
/** The shard id of the first table in the registry. */
export const FIRST_TABLE_SHARD = 10_001;

/**
 * The distance between the last index that a name ever had and the start of the log of a shard that takes the name
 * over, so that no old cursor and no old compare can match by accident (T1).
 */
export const BASE_STEP = 1_000_000_000;
