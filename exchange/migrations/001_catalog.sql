CREATE TABLE departments (
  code TEXT PRIMARY KEY,
  uscc TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  region TEXT NOT NULL
);
CREATE TABLE resources (
  name TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  kind TEXT NOT NULL,
  share_type TEXT NOT NULL,
  schema_json TEXT NOT NULL,
  agreed_delay_seconds BIGINT NOT NULL
);
CREATE TABLE matters (
  code TEXT PRIMARY KEY,
  department TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX matters_department ON matters (department, code);
CREATE TABLE outbox (
  id TEXT PRIMARY KEY,
  topic TEXT NOT NULL,
  message TEXT NOT NULL
);
