ALTER TABLE chunks DROP COLUMN started;
ALTER TABLE chunks DROP COLUMN node;

ALTER TABLE exports DROP COLUMN snapshot;

DROP TABLE nodes;
