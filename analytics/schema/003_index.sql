-- The states of the efficiency index. A decided case counts on two days: on the day of the decision (decided, on_time)
-- and on the day when it was accepted (completed), so that completed / accepted of a period is about the same cases.
CREATE TABLE IF NOT EXISTS index_day
(
    day                 Date32 CODEC(ZSTD(1)),
    region              LowCardinality(String),
    department          LowCardinality(String),
    matter              LowCardinality(String),
    accepted            SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    completed           SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    decided             SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    on_time             SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    materials_required  SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    materials_submitted SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (day, region, department, matter)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS index_day_view TO index_day AS
SELECT count.1 AS day, region, department, matter, sum(count.2) AS accepted, sum(count.3) AS completed, sum(count.4) AS decided,
    sum(count.5) AS on_time, sum(count.6) AS materials_required, sum(count.7) AS materials_submitted
FROM
(
    SELECT region, department, matter, arrayJoin(multiIf(
        event = 'accepted', [(day, toInt64(1), toInt64(0), toInt64(0), toInt64(0), ifNull(materials_required, 0), ifNull(materials_submitted, 0))],
        event = 'decided', [(day, toInt64(0), toInt64(0), toInt64(1), toInt64(ifNull(used_days <= promised_days, 0)), toInt64(0), toInt64(0)),
            (ifNull(accepted_day, day), toInt64(0), toInt64(isNotNull(accepted_day)), toInt64(0), toInt64(0), toInt64(0), toInt64(0))],
        [])) AS count
    FROM case_events
    WHERE event IN ('accepted', 'decided')
)
GROUP BY day, region, department, matter;
