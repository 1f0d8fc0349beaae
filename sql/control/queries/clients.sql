-- name: client-add
INSERT INTO clients (id, name, jwks, jwks_url, scopes, all_groups, group_ids, view_name, enabled, created)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: client-by-id
SELECT id, name, jwks, jwks_url, scopes, all_groups, group_ids, view_name, enabled, created
FROM clients WHERE id = ?;

-- name: client-list
SELECT id, name, jwks, jwks_url, scopes, all_groups, group_ids, view_name, enabled, created
FROM clients ORDER BY created, id;

-- name: client-enable
UPDATE clients SET enabled = ? WHERE id = ? AND enabled <> ?;

-- name: token-add
INSERT INTO tokens (hash, client_id, scopes, issued, expires, revoked) VALUES (?, ?, ?, ?, ?, 0);

-- name: token-by-hash
SELECT hash, client_id, scopes, issued, expires, revoked FROM tokens WHERE hash = ?;

-- name: token-revoke
UPDATE tokens SET revoked = ? WHERE hash = ? AND revoked = 0;

-- name: token-revoke-client
UPDATE tokens SET revoked = ? WHERE client_id = ? AND revoked = 0;

-- name: token-clean
DELETE FROM tokens WHERE expires < ?;

-- name: assertion-use
INSERT INTO assertions (issuer, jti, expires) VALUES (?, ?, ?) ON CONFLICT (issuer, jti) DO NOTHING;

-- name: assertion-clean
DELETE FROM assertions WHERE expires < ?;

-- name: audit-add
INSERT INTO audit (id, at, client_id, action, export_id, outcome, detail) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: audit-list
SELECT id, at, client_id, action, export_id, outcome, detail FROM audit
WHERE at >= ? ORDER BY at, id LIMIT ?;

-- name: audit-clean
DELETE FROM audit WHERE at < ?;
