CREATE TABLE sink_positions (
    topic TEXT NOT NULL,
    partition_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    next_offset BIGINT NOT NULL,
    last_digest TEXT NOT NULL,
    stored BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    not_events BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (topic, partition_id)
);
CREATE TABLE sink_intents (
    topic TEXT NOT NULL,
    partition_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    first_offset BIGINT NOT NULL,
    last_offset BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    not_events BIGINT NOT NULL,
    dropped TEXT NOT NULL,
    digest TEXT NOT NULL,
    last_digest TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (topic, partition_id)
);
