CREATE TABLE secrets (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE cohorts (
  id        TEXT PRIMARY KEY,
  client_id TEXT NOT NULL,
  ticket    TEXT NOT NULL,
  resource  TEXT NOT NULL,
  filters   TEXT NOT NULL,
  bounded   INTEGER NOT NULL,
  state     TEXT NOT NULL,
  version   BIGINT NOT NULL,
  seen      BIGINT NOT NULL,
  refreshed BIGINT NOT NULL,
  failure   TEXT NOT NULL,
  created   BIGINT NOT NULL,
  updated   BIGINT NOT NULL
);
CREATE INDEX cohorts_client ON cohorts (client_id, created, id);
CREATE UNIQUE INDEX cohorts_ticket ON cohorts (ticket);
CREATE INDEX cohorts_state ON cohorts (state, seen);

CREATE TABLE cohort_members (
  cohort_id TEXT NOT NULL REFERENCES cohorts (id) ON DELETE CASCADE,
  kind      TEXT NOT NULL,
  member    TEXT NOT NULL,
  inactive  INTEGER NOT NULL,
  entry     TEXT NOT NULL,
  n         BIGINT NOT NULL,
  added     BIGINT NOT NULL,
  PRIMARY KEY (cohort_id, kind, member)
);

CREATE TABLE publications (
  export_id        TEXT PRIMARY KEY,
  epoch            TEXT NOT NULL,
  n                BIGINT NOT NULL,
  types            TEXT NOT NULL,
  cadence          TEXT NOT NULL,
  transaction_time BIGINT NOT NULL,
  published        BIGINT NOT NULL,
  retired          BIGINT NOT NULL
);
CREATE UNIQUE INDEX publications_chain ON publications (epoch, n);
