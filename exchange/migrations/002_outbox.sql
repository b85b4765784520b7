CREATE TABLE outbox_counter (
  name TEXT PRIMARY KEY,
  last BIGINT NOT NULL
);
INSERT INTO outbox_counter (name, last) VALUES ('outbox', 0);
CREATE TABLE outbox_lease (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  beat BIGINT NOT NULL
);
INSERT INTO outbox_lease (name, holder, epoch, beat) VALUES ('outbox', '', 0, 0);
