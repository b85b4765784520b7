ALTER TABLE license_types ADD COLUMN face_json TEXT NOT NULL DEFAULT '[]';
CREATE TABLE license_pages (
  number TEXT PRIMARY KEY,
  file BYTEA NOT NULL
);
