CREATE TABLE license_types (
  code TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  disclosable_json TEXT NOT NULL
);
CREATE TABLE license_serials (
  type TEXT NOT NULL,
  issuer TEXT NOT NULL,
  last_serial BIGINT NOT NULL,
  PRIMARY KEY (type, issuer)
);
CREATE TABLE license_status_lists (
  id BIGINT PRIMARY KEY,
  secret BYTEA NOT NULL,
  used BIGINT NOT NULL,
  revision BIGINT NOT NULL
);
CREATE TABLE licenses (
  number TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  issuer TEXT NOT NULL,
  department TEXT NOT NULL,
  request_id TEXT NOT NULL,
  request_digest BYTEA NOT NULL,
  holder TEXT NOT NULL,
  holder_name TEXT NOT NULL,
  status TEXT NOT NULL,
  status_reason TEXT NOT NULL,
  changes BIGINT NOT NULL,
  issued_at BIGINT NOT NULL,
  valid_from BIGINT NOT NULL,
  valid_until BIGINT,
  status_list BIGINT NOT NULL,
  status_index BIGINT NOT NULL,
  token TEXT NOT NULL
);
CREATE UNIQUE INDEX licenses_request ON licenses (department, request_id);
CREATE UNIQUE INDEX licenses_status_index ON licenses (status_list, status_index);
CREATE INDEX licenses_holder ON licenses (holder, type);
CREATE INDEX licenses_issued ON licenses (issued_at, number);
CREATE INDEX licenses_department ON licenses (department, issued_at, number);
CREATE INDEX licenses_not_valid ON licenses (status_list, status_index, status) WHERE status <> 'valid';
CREATE TABLE license_changes (
  number TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  action TEXT NOT NULL,
  from_status TEXT NOT NULL,
  to_status TEXT NOT NULL,
  reason TEXT NOT NULL,
  actor TEXT NOT NULL,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (number, sequence)
);
CREATE TABLE license_counts (
  shard BIGINT NOT NULL,
  status TEXT NOT NULL,
  total BIGINT NOT NULL,
  PRIMARY KEY (shard, status)
);
