CREATE TABLE connector_sources (
    name TEXT NOT NULL PRIMARY KEY,
    identity TEXT NOT NULL,
    position TEXT NOT NULL,
    revision BIGINT NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_accepted BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    last_read_at BIGINT NOT NULL,
    newest_event_at BIGINT NOT NULL
);
CREATE TABLE connector_tallies (
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    PRIMARY KEY (source, kind, name)
);
