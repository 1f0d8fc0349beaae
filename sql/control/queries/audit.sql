-- name: audit-add
INSERT INTO audit (id, at, client_id, action, export_id, outcome, detail, server, seq, actor, remote, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: audit-list
SELECT id, at, client_id, action, export_id, outcome, detail, server, seq, actor, remote, hash FROM audit
WHERE at >= ? ORDER BY at, server, seq, id LIMIT ?;

-- name: audit-after
SELECT id, at, client_id, action, export_id, outcome, detail, server, seq, actor, remote, hash FROM audit
WHERE server = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: audit-unchained
SELECT count(*) FROM audit WHERE server NOT IN (SELECT server FROM audit_chains);

-- name: audit-first-kept
SELECT coalesce(min(seq), 0) FROM audit WHERE server = ? AND at >= ?;

-- name: audit-hash
SELECT hash FROM audit WHERE server = ? AND seq = ?;

-- name: audit-trim
DELETE FROM audit WHERE server = ? AND seq <= ?;

-- name: audit-chain-base
UPDATE audit_chains SET base_seq = ?, base_hash = ? WHERE server = ? AND base_seq < ?;

-- name: audit-chain-begin
INSERT INTO audit_chains (server, base_seq, base_hash, head_seq, head_hash) VALUES (?, 0, '', 0, '') ON CONFLICT (server) DO NOTHING;

-- name: audit-chain
SELECT server, base_seq, base_hash, head_seq, head_hash FROM audit_chains WHERE server = ?;

-- name: audit-chain-list
SELECT server, base_seq, base_hash, head_seq, head_hash FROM audit_chains ORDER BY server;

-- name: audit-chain-head
UPDATE audit_chains SET head_seq = ?, head_hash = ? WHERE server = ? AND head_seq = ? AND head_hash = ?;
