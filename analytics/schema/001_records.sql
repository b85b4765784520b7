-- The landing table: every accepted record once, as it came, with its place in the log. Every other table of records is
-- made from it. No PARTITION BY: one insert must be one part, because a part is what is there whole or not at all.
CREATE TABLE IF NOT EXISTS records
(
    record_id     FixedString(32) CODEC(NONE),
    resource      LowCardinality(String),
    kind          LowCardinality(String),
    source        LowCardinality(String),
    key           String CODEC(ZSTD(1)),
    operation     LowCardinality(String),
    event_time    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    recorded_time DateTime64(6, 'UTC') COMMENT 'beginning of 1970: unknown' CODEC(Delta, ZSTD(1)),
    late          UInt8,
    received_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    payload       String CODEC(ZSTD(1)),
    epoch         UInt32 CODEC(ZSTD(1)),
    topic         LowCardinality(String),
    `partition`   UInt32 CODEC(ZSTD(1)),
    `offset`      UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (resource, event_time, record_id)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

-- The current state by key: the version with the newest event time wins, in whatever order versions arrive. A delete
-- stays as a tombstone, so that an older version that arrives later does not bring the record back. Small granules:
-- a lookup reads one granule for a key.
CREATE TABLE IF NOT EXISTS records_current
(
    resource      LowCardinality(String),
    key           String CODEC(ZSTD(1)),
    record_id     FixedString(32) CODEC(NONE),
    kind          LowCardinality(String),
    source        LowCardinality(String),
    event_time    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    recorded_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    late          UInt8,
    deleted       UInt8,
    payload       String CODEC(ZSTD(1)),
    epoch         UInt32 CODEC(ZSTD(1)),
    `partition`   UInt32 CODEC(ZSTD(1)),
    `offset`      UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(event_time, deleted)
ORDER BY (resource, key)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
    fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS records_current_view TO records_current AS
SELECT resource, key, record_id, kind, source, event_time, recorded_time, late, toUInt8(operation = 'delete') AS deleted,
    payload, epoch, `partition`, `offset`
FROM records;

-- Rejected records, and messages on a topic of records that are none, by id: a row that is rejected again is kept once.
CREATE TABLE IF NOT EXISTS rejected_records
(
    record_id     FixedString(32) CODEC(NONE),
    resource      LowCardinality(String),
    source        LowCardinality(String),
    origin        String CODEC(ZSTD(1)),
    rule          LowCardinality(String),
    field         LowCardinality(String),
    detail        String CODEC(ZSTD(1)),
    raw           String COMMENT 'the original bytes' CODEC(ZSTD(1)),
    rejected_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    epoch         UInt32 CODEC(ZSTD(1)),
    topic         LowCardinality(String),
    `partition`   UInt32 CODEC(ZSTD(1)),
    `offset`      UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (resource, record_id)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

-- What happened to licences, by event id; value is the event's JSON.
CREATE TABLE IF NOT EXISTS license_events
(
    event_id    String CODEC(ZSTD(1)),
    type        LowCardinality(String),
    source      LowCardinality(String),
    subject     String CODEC(ZSTD(1)),
    event_time  DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    value       String CODEC(ZSTD(1)),
    epoch       UInt32 CODEC(ZSTD(1)),
    `partition` UInt32 CODEC(ZSTD(1)),
    `offset`    UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (type, event_time, event_id)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;
