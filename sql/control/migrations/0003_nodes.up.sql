-- Several nodes may run the chunks of one export.
CREATE TABLE nodes (
  id      TEXT PRIMARY KEY,
  version TEXT NOT NULL,
  workers BIGINT NOT NULL,
  started BIGINT NOT NULL,
  seen    BIGINT NOT NULL
);

ALTER TABLE exports ADD COLUMN snapshot TEXT NOT NULL DEFAULT '';

ALTER TABLE chunks ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE chunks ADD COLUMN started BIGINT NOT NULL DEFAULT 0;
