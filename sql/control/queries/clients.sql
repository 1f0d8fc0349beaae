-- name: client-add
INSERT INTO clients (id, name, jwks, jwks_url, scopes, all_groups, group_ids, view_name, enabled, created,
                     purpose, types, earliest, contact, notes, expires, max_exports, token_rate)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: client-by-id
SELECT c.id, c.name, c.jwks, c.jwks_url, c.scopes, c.all_groups, c.group_ids, c.view_name, c.enabled, c.created, c.purpose,
       c.types, c.earliest, c.contact, c.notes, c.expires, c.revoked, c.max_exports, c.token_rate, c.revision,
       coalesce(u.last, 0) AS last_use
FROM clients c LEFT JOIN client_use u ON u.client_id = c.id WHERE c.id = ?;

-- name: client-list
SELECT c.id, c.name, c.jwks, c.jwks_url, c.scopes, c.all_groups, c.group_ids, c.view_name, c.enabled, c.created, c.purpose,
       c.types, c.earliest, c.contact, c.notes, c.expires, c.revoked, c.max_exports, c.token_rate, c.revision,
       coalesce(u.last, 0) AS last_use
FROM clients c LEFT JOIN client_use u ON u.client_id = c.id ORDER BY c.created, c.id;

-- name: client-enable
UPDATE clients SET enabled = ?, revision = revision + 1 WHERE id = ? AND enabled <> ? AND revoked = 0;

-- name: client-revoke
UPDATE clients SET enabled = 0, revoked = ?, jwks = '', jwks_url = '', revision = revision + 1 WHERE id = ? AND revoked = 0;

-- name: client-keys
UPDATE clients SET jwks = ?, jwks_url = ?, revision = revision + 1 WHERE id = ? AND revision = ? AND revoked = 0;

-- name: client-policy
UPDATE clients SET name = ?, scopes = ?, all_groups = ?, group_ids = ?, view_name = ?, purpose = ?, types = ?, earliest = ?,
                   contact = ?, notes = ?, expires = ?, max_exports = ?, token_rate = ?, revision = revision + 1
WHERE id = ? AND revision = ? AND revoked = 0;

-- name: client-revisions
SELECT id, revision FROM clients WHERE enabled = 1 AND id IN (?);

-- name: client-used
INSERT INTO client_use (client_id, last) VALUES (?, ?)
ON CONFLICT (client_id) DO UPDATE SET last = excluded.last WHERE client_use.last < excluded.last;

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
INSERT INTO assertions (issuer, jti, expires) VALUES (?, ?, ?) ON CONFLICT (issuer, jti) DO NOTHING RETURNING issuer, jti;

-- name: assertion-clean
DELETE FROM assertions WHERE expires < ?;

-- name: signing-key-add
INSERT INTO signing_keys (kid, public, sealed, created, retires) VALUES (?, ?, ?, ?, ?);

-- name: signing-key-list
SELECT kid, public, sealed, created, retires FROM signing_keys ORDER BY created, kid;

-- name: signing-key-clean
DELETE FROM signing_keys WHERE retires < ?;
