CREATE TABLE clients (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  jwks       TEXT NOT NULL,
  jwks_url   TEXT NOT NULL,
  scopes     TEXT NOT NULL,
  all_groups INTEGER NOT NULL,
  group_ids  TEXT NOT NULL,
  view_name  TEXT NOT NULL,
  enabled    INTEGER NOT NULL,
  created    BIGINT NOT NULL
);

CREATE TABLE exports (
  id               TEXT PRIMARY KEY,
  client_id        TEXT NOT NULL,
  request          TEXT NOT NULL,
  state            TEXT NOT NULL,
  owner            TEXT NOT NULL,
  epoch            BIGINT NOT NULL,
  seen             BIGINT NOT NULL,
  generation       BIGINT NOT NULL,
  program          TEXT NOT NULL,
  transaction_time BIGINT NOT NULL,
  chunks_total     BIGINT NOT NULL,
  chunks_done      BIGINT NOT NULL,
  percent          BIGINT NOT NULL,
  resources        BIGINT NOT NULL,
  report           TEXT NOT NULL,
  failure          TEXT NOT NULL,
  created          BIGINT NOT NULL,
  started          BIGINT NOT NULL,
  finished         BIGINT NOT NULL,
  expires          BIGINT NOT NULL
);
CREATE INDEX exports_state ON exports (state, expires);
CREATE INDEX exports_client ON exports (client_id, state);

CREATE TABLE chunks (
  export_id  TEXT NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
  n          BIGINT NOT NULL,
  request    TEXT NOT NULL,
  state      TEXT NOT NULL,
  attempt    BIGINT NOT NULL,
  counts     TEXT NOT NULL,
  finished   BIGINT NOT NULL,
  PRIMARY KEY (export_id, n)
);
CREATE INDEX chunks_state ON chunks (export_id, state, n);

CREATE TABLE files (
  export_id  TEXT NOT NULL REFERENCES exports (id) ON DELETE CASCADE,
  object     TEXT NOT NULL,
  chunk      BIGINT NOT NULL,
  seq        BIGINT NOT NULL,
  name       TEXT NOT NULL,
  type       TEXT NOT NULL,
  kind       TEXT NOT NULL,
  count      BIGINT NOT NULL,
  bytes      BIGINT NOT NULL,
  stored     BIGINT NOT NULL,
  sha256     TEXT NOT NULL,
  PRIMARY KEY (export_id, object)
);
CREATE INDEX files_name ON files (export_id, name);

CREATE TABLE tokens (
  hash      TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  scopes    TEXT NOT NULL,
  issued    BIGINT NOT NULL,
  expires   BIGINT NOT NULL,
  revoked   BIGINT NOT NULL
);
CREATE INDEX tokens_expires ON tokens (expires);
CREATE INDEX tokens_client ON tokens (client_id);

CREATE TABLE assertions (
  issuer  TEXT NOT NULL,
  jti     TEXT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (issuer, jti)
);
CREATE INDEX assertions_expires ON assertions (expires);

CREATE TABLE audit (
  id        TEXT PRIMARY KEY,
  at        BIGINT NOT NULL,
  client_id TEXT NOT NULL,
  action    TEXT NOT NULL,
  export_id TEXT NOT NULL,
  outcome   TEXT NOT NULL,
  detail    TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at, id);
