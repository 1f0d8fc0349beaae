-- Exports that wait take turns by client, small ones apart from large ones.
ALTER TABLE exports ADD COLUMN small BIGINT NOT NULL DEFAULT 0;

CREATE INDEX exports_turn ON exports (owner, small, client_id, created, id) WHERE state = 'accepted';
