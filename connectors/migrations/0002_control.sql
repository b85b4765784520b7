ALTER TABLE connector_sources ADD COLUMN gap BIGINT NOT NULL DEFAULT 0;
CREATE TABLE connector_definitions (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT NOT NULL
);
CREATE TABLE connector_controls (
    source TEXT NOT NULL PRIMARY KEY,
    desired TEXT NOT NULL,
    columns_agreed TEXT NOT NULL,
    columns_offered TEXT NOT NULL,
    columns_taken TEXT NOT NULL
);
CREATE TABLE connector_rereads (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    range_json TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    asked_by TEXT NOT NULL,
    state TEXT NOT NULL
);
CREATE TABLE connector_proofs (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    asked_by TEXT NOT NULL,
    repair BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX connector_proofs_source ON connector_proofs (source, asked_at);
CREATE TABLE connector_mended (
    rejected_id TEXT NOT NULL PRIMARY KEY,
    record_id TEXT NOT NULL,
    mended_at BIGINT NOT NULL,
    mended_by TEXT NOT NULL
);
