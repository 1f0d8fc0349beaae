-- name: secret-add
INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING;

-- name: secret-by-name
SELECT value FROM secrets WHERE name = ?;

-- name: cohort-add
INSERT INTO cohorts (id, client_id, ticket, resource, filters, bounded, state, version, seen, refreshed, failure, created, updated)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, 0, '', ?, ?);

-- name: cohort-by-id
SELECT id, client_id, ticket, resource, filters, bounded, state, version, seen, refreshed, failure, created, updated
FROM cohorts WHERE id = ?;

-- name: cohort-by-ticket
SELECT id, client_id, ticket, resource, filters, bounded, state, version, seen, refreshed, failure, created, updated
FROM cohorts WHERE ticket = ?;

-- name: cohort-by-client
SELECT id, client_id, ticket, resource, filters, bounded, state, version, seen, refreshed, failure, created, updated
FROM cohorts WHERE client_id = ? ORDER BY created, id;

-- name: cohort-count
SELECT count(*) FROM cohorts WHERE client_id = ?;

-- name: cohort-due
SELECT id, client_id, ticket, resource, filters, bounded, state, version, seen, refreshed, failure, created, updated
FROM cohorts WHERE state = 'building' AND seen < ? OR state = 'ready' AND refreshed > 0 AND refreshed < ? AND seen < ?
ORDER BY seen, id;

-- name: cohort-replace
UPDATE cohorts SET ticket = ?, resource = ?, filters = ?, bounded = ?, state = ?, version = version + 1, seen = ?, refreshed = 0,
  failure = '', updated = ?
WHERE id = ? AND client_id = ? AND version = ?;

-- name: cohort-delete
DELETE FROM cohorts WHERE id = ? AND client_id = ?;

-- name: cohort-claim
UPDATE cohorts SET seen = ? WHERE id = ? AND version = ? AND seen = ?;

-- name: cohort-built
UPDATE cohorts SET state = 'ready', seen = ?, refreshed = ?, failure = '', updated = ? WHERE id = ? AND version = ?;

-- name: cohort-failed
UPDATE cohorts SET state = CASE WHEN state = 'building' THEN 'failed' ELSE state END, seen = ?, failure = ? WHERE id = ? AND version = ?;

-- name: cohort-members
SELECT member, inactive, entry, added FROM cohort_members WHERE cohort_id = ? AND kind = ? ORDER BY n, member;

-- name: cohort-members-count
SELECT count(*) FROM cohort_members WHERE cohort_id = ? AND kind = ?;

-- name: cohort-member-add
INSERT INTO cohort_members (cohort_id, kind, member, inactive, entry, n, added) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: cohort-members-drop
DELETE FROM cohort_members WHERE cohort_id = ? AND kind = ?;

-- name: publication-add
INSERT INTO publications (export_id, epoch, n, types, cadence, transaction_time, published, retired) VALUES (?, ?, ?, ?, ?, ?, ?, 0);

-- name: publication-chain
SELECT export_id, epoch, n, types, cadence, transaction_time, published, retired FROM publications WHERE epoch = ? ORDER BY n;

-- name: publication-current
SELECT export_id, epoch, n, types, cadence, transaction_time, published, retired FROM publications
WHERE retired = 0 AND n = 0 ORDER BY published DESC, export_id DESC LIMIT 1;

-- name: publication-by-export
SELECT export_id, epoch, n, types, cadence, transaction_time, published, retired FROM publications WHERE export_id = ?;

-- name: publication-retire
UPDATE publications SET retired = ? WHERE epoch <> ? AND retired = 0;

-- name: publication-retired
SELECT export_id FROM publications WHERE retired > 0 AND retired < ? ORDER BY export_id;

-- name: publication-drop
DELETE FROM publications WHERE export_id = ?;

-- name: export-keep
UPDATE exports SET expires = ? WHERE id = ? AND state = 'complete';
