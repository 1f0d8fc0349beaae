-- name: node-announce
INSERT INTO nodes (id, version, workers, started, seen) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, workers = excluded.workers;

-- name: node-leave
DELETE FROM nodes WHERE id = ?;

-- name: node-forget
DELETE FROM nodes WHERE seen < ?;

-- name: node-list
SELECT id, version, workers, started, seen FROM nodes ORDER BY started, id;
