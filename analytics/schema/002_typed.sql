-- Typed rows of the kinds that analytics know, one for every upsert in the landing table. A member that is absent or of
-- another type is NULL, or empty for text; nothing here refuses a record. The columns of a view stand in the order of its table.
CREATE TABLE IF NOT EXISTS case_events
(
    resource            LowCardinality(String),
    case_number         String CODEC(ZSTD(1)),
    matter              LowCardinality(String),
    department          LowCardinality(String),
    region              LowCardinality(String),
    event               LowCardinality(String),
    item_type           LowCardinality(String),
    channel             LowCardinality(String),
    event_time          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    day                 Date32 COMMENT 'of event_time, in China Standard Time' CODEC(ZSTD(1)),
    accepted_day        Nullable(Date32) CODEC(ZSTD(1)),
    promised_days       Nullable(Float64) CODEC(ZSTD(1)),
    used_days           Nullable(Float64) CODEC(ZSTD(1)),
    materials_required  Nullable(Int64) CODEC(ZSTD(1)),
    materials_submitted Nullable(Int64) CODEC(ZSTD(1)),
    epoch               UInt32 CODEC(ZSTD(1)),
    `partition`         UInt32 CODEC(ZSTD(1)),
    `offset`            UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (department, matter, day, case_number)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS case_events_view TO case_events AS
SELECT resource, j.case_number AS case_number, j.matter AS matter, j.department AS department, j.region AS region,
    j.event AS event, j.item_type AS item_type, j.channel AS channel, event_time,
    toDate32(toTimeZone(event_time, 'Asia/Shanghai')) AS day, toDate32OrNull(j.accepted_date) AS accepted_day,
    j.promised_days AS promised_days, j.used_days AS used_days,
    j.materials_required AS materials_required, j.materials_submitted AS materials_submitted,
    epoch, `partition`, `offset`
FROM
(
    SELECT resource, event_time, epoch, `partition`, `offset`, JSONExtract(payload, 'Tuple(case_number String, matter String,
        department String, region String, event String, item_type String, channel String, accepted_date String,
        promised_days Nullable(Float64), used_days Nullable(Float64),
        materials_required Nullable(Int64), materials_submitted Nullable(Int64))') AS j
    FROM records
    WHERE kind = 'case_event' AND operation = 'upsert'
);

CREATE TABLE IF NOT EXISTS ratings
(
    resource    LowCardinality(String),
    case_number String CODEC(ZSTD(1)),
    department  LowCardinality(String),
    level       Nullable(UInt8) COMMENT '1 to 5, 5 is very satisfied',
    channel     LowCardinality(String),
    event_time  DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    day         Date32 CODEC(ZSTD(1)),
    epoch       UInt32 CODEC(ZSTD(1)),
    `partition` UInt32 CODEC(ZSTD(1)),
    `offset`    UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (department, day, case_number)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS ratings_view TO ratings AS
SELECT resource, j.case_number AS case_number, j.department AS department, j.level AS level, j.channel AS channel, event_time,
    toDate32(toTimeZone(event_time, 'Asia/Shanghai')) AS day, epoch, `partition`, `offset`
FROM
(
    SELECT resource, event_time, epoch, `partition`, `offset`, JSONExtract(payload,
        'Tuple(case_number String, department String, level Nullable(UInt8), channel String)') AS j
    FROM records
    WHERE kind = 'rating' AND operation = 'upsert'
);

CREATE TABLE IF NOT EXISTS tickets
(
    resource      LowCardinality(String),
    ticket_number String CODEC(ZSTD(1)),
    department    LowCardinality(String),
    category      LowCardinality(String),
    answered_days Nullable(Float64) CODEC(ZSTD(1)),
    satisfied     Nullable(Bool),
    event_time    DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    day           Date32 CODEC(ZSTD(1)),
    epoch         UInt32 CODEC(ZSTD(1)),
    `partition`   UInt32 CODEC(ZSTD(1)),
    `offset`      UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (department, day, ticket_number)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS tickets_view TO tickets AS
SELECT resource, j.ticket_number AS ticket_number, j.department AS department, j.category AS category,
    j.answered_days AS answered_days, j.satisfied AS satisfied, event_time,
    toDate32(toTimeZone(event_time, 'Asia/Shanghai')) AS day, epoch, `partition`, `offset`
FROM
(
    SELECT resource, event_time, epoch, `partition`, `offset`, JSONExtract(payload,
        'Tuple(ticket_number String, department String, category String, answered_days Nullable(Float64), satisfied Nullable(Bool))') AS j
    FROM records
    WHERE kind = 'ticket' AND operation = 'upsert'
);
