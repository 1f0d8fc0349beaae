-- name: export-add
INSERT INTO exports (id, client_id, request, state, owner, epoch, seen, generation, program, transaction_time,
                     chunks_total, chunks_done, percent, resources, report, failure, created, started, finished, expires, members, small)
VALUES (?, ?, ?, 'accepted', ?, 0, ?, 0, '', 0, 0, 0, 0, 0, '', '', ?, 0, 0, 0, ?, ?);

-- name: export-members
SELECT members FROM exports WHERE id = ?;

-- name: export-by-id
SELECT id, client_id, request, state, owner, epoch, generation, program, transaction_time, chunks_total, chunks_done,
       percent, resources, bytes, report, failure, created, started, finished, expires, snapshot, small
FROM exports WHERE id = ?;

-- name: export-by-state
SELECT id, client_id, request, state, owner, epoch, generation, program, transaction_time, chunks_total, chunks_done,
       percent, resources, bytes, report, failure, created, started, finished, expires, snapshot, small
FROM exports WHERE state = ? ORDER BY created, id;

-- name: export-by-client
SELECT id, client_id, request, state, owner, epoch, generation, program, transaction_time, chunks_total, chunks_done,
       percent, resources, bytes, report, failure, created, started, finished, expires, snapshot, small
FROM exports WHERE client_id = ? AND state <> 'deleted' ORDER BY created, id;

-- name: export-active-count
SELECT count(*) FROM exports WHERE client_id = ? AND state IN ('accepted', 'running');

-- name: export-count
SELECT state, count(*) AS n FROM exports GROUP BY state;

-- name: export-recent
SELECT id, client_id, request, state, owner, epoch, generation, program, transaction_time, chunks_total, chunks_done,
       percent, resources, bytes, report, failure, created, started, finished, expires, snapshot, small
FROM exports ORDER BY created DESC, id LIMIT ?;

-- name: export-retry
UPDATE exports SET state = 'accepted', owner = '', generation = 0, snapshot = '', failure = '', report = '', percent = 0,
                   chunks_total = 0, chunks_done = 0, resources = 0, finished = 0, expires = 0
WHERE id = ? AND state = 'failed';

-- name: export-beat
UPDATE exports SET seen = ? WHERE owner = ? AND state = 'running';

-- name: export-owned
SELECT id, client_id, request, state, owner, epoch, generation, program, transaction_time, chunks_total, chunks_done,
       percent, resources, bytes, report, failure, created, started, finished, expires, snapshot, small
FROM exports WHERE owner = ? AND state = 'running' ORDER BY created, id;

-- name: export-waiting-clients
WITH RECURSIVE waiting (client_id) AS (
  SELECT min(client_id) FROM exports WHERE owner = ? AND small = ? AND state = 'accepted'
  UNION ALL
  SELECT (SELECT min(e.client_id) FROM exports e WHERE e.owner = ? AND e.small = ? AND e.state = 'accepted' AND e.client_id > waiting.client_id)
  FROM waiting WHERE waiting.client_id IS NOT NULL
)
SELECT client_id FROM waiting WHERE client_id IS NOT NULL;

-- name: export-waiting-of
SELECT id, client_id, request, state, owner, epoch, generation, program, transaction_time, chunks_total, chunks_done,
       percent, resources, bytes, report, failure, created, started, finished, expires, snapshot, small
FROM exports WHERE owner = ? AND small = ? AND client_id = ? AND state = 'accepted' ORDER BY created, id LIMIT ?;

-- name: export-lost
SELECT id, owner FROM exports
WHERE state IN ('accepted', 'running') AND owner <> ?
  AND (owner = '' OR seen < ? AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = exports.owner AND nodes.seen >= ?))
ORDER BY state DESC, created, id LIMIT ?;

-- name: export-claim
UPDATE exports SET owner = ?, seen = ?, epoch = epoch + 1, snapshot = ''
WHERE id = ? AND state IN ('accepted', 'running') AND owner <> ?
  AND (owner = '' OR seen < ? AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = exports.owner AND nodes.seen >= ?));

-- name: export-share
UPDATE exports SET snapshot = ? WHERE id = ? AND owner = ? AND epoch = ? AND generation = ? AND state = 'running';

-- name: export-release
UPDATE exports SET owner = '', snapshot = '' WHERE owner = ? AND state IN ('accepted', 'running');

-- name: export-plan
UPDATE exports
SET state = 'running', generation = generation + 1, program = ?, transaction_time = ?, snapshot = ?, chunks_total = ?, chunks_done = 0,
    resources = 0, bytes = 0, started = CASE WHEN started = 0 THEN ? ELSE started END
WHERE id = ? AND owner = ? AND epoch = ? AND generation = ? AND state IN ('accepted', 'running');

-- name: export-progress
UPDATE exports
SET chunks_done = chunks_done + 1, resources = resources + ?, bytes = bytes + ?,
    percent = CASE WHEN (chunks_done + 1) * 99 / chunks_total > percent THEN (chunks_done + 1) * 99 / chunks_total ELSE percent END
WHERE id = ? AND epoch = ? AND generation = ? AND state = 'running';

-- name: export-complete
UPDATE exports SET state = 'complete', percent = 100, resources = ?, report = ?, finished = ?, expires = ?, owner = ''
WHERE id = ? AND epoch = ? AND generation = ? AND state = 'running' AND chunks_done = chunks_total;

-- name: export-fail
UPDATE exports SET state = 'failed', failure = ?, report = ?, finished = ?, expires = ?, owner = ''
WHERE id = ? AND epoch = ? AND state IN ('accepted', 'running');

-- name: export-delete
UPDATE exports SET state = 'deleted', owner = '' WHERE id = ? AND state <> 'deleted';

-- name: export-expired
SELECT id FROM exports WHERE state IN ('complete', 'failed') AND expires <= ? ORDER BY expires, id;

-- name: export-expire
UPDATE exports SET state = 'expired' WHERE id = ? AND state IN ('complete', 'failed') AND expires <= ?;

-- name: export-forget
DELETE FROM exports WHERE id = ? AND state IN ('deleted', 'expired');

-- name: chunk-drop
DELETE FROM chunks WHERE export_id = ?;

-- name: chunk-add
INSERT INTO chunks (export_id, n, request, state, attempt, counts, finished) VALUES (?, ?, ?, 'pending', 0, '', 0);

-- name: chunk-by-n
SELECT export_id, n, request, state, attempt, node, counts FROM chunks WHERE export_id = ? AND n = ?;

-- name: chunk-list
SELECT export_id, n, request, state, attempt, node, counts FROM chunks WHERE export_id = ? ORDER BY n;

-- name: chunk-open-count
SELECT count(*) FROM chunks WHERE export_id = ? AND state <> 'done';

-- name: chunk-waiting
SELECT n, attempt FROM chunks
WHERE export_id = ?
  AND (state = 'pending'
       OR state = 'running' AND node <> ? AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = chunks.node AND nodes.seen >= ?))
ORDER BY n LIMIT ?;

-- name: chunk-of-node
SELECT c.export_id, c.n, c.attempt FROM chunks c JOIN exports e ON e.id = c.export_id
WHERE c.node = ? AND c.state = 'running' AND c.started < ? AND e.state = 'running' ORDER BY c.export_id, c.n;

-- name: chunk-free
UPDATE chunks SET state = 'pending' WHERE export_id = ? AND n = ? AND attempt = ? AND state = 'running';

-- name: chunk-free-all
UPDATE chunks SET state = 'pending' WHERE export_id = ? AND state = 'running';

-- name: chunk-start
UPDATE chunks SET state = 'running', attempt = attempt + 1, node = ?, started = ?
WHERE export_id = ? AND n = ? AND state <> 'done'
  AND EXISTS (SELECT 1 FROM exports e WHERE e.id = chunks.export_id AND e.epoch = ? AND e.generation = ? AND e.state = 'running')
RETURNING attempt;

-- name: chunk-finish
UPDATE chunks SET state = 'done', counts = ?, finished = ?
WHERE export_id = ? AND n = ? AND attempt = ? AND state = 'running';

-- name: file-add
INSERT INTO files (export_id, object, chunk, seq, name, type, kind, count, bytes, stored, sha256)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: file-drop
DELETE FROM files WHERE export_id = ?;

-- name: file-list
SELECT export_id, object, chunk, seq, name, type, kind, count, bytes, stored, sha256
FROM files WHERE export_id = ? ORDER BY kind, type, chunk, seq, object;

-- name: file-by-name
SELECT f.export_id, f.object, f.chunk, f.seq, f.name, f.type, f.kind, f.count, f.bytes, f.stored, f.sha256
FROM files f JOIN exports e ON e.id = f.export_id
WHERE f.export_id = ? AND f.name = ? AND e.state = 'complete';
