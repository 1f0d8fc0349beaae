#!/bin/sh
# Runs once, when the database is made: a warehouse that Remit can only read, and
# a control store that is its own.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres \
  -v reader="$(cat /run/secrets/reader-password)" -v control="$(cat /run/secrets/control-password)" <<'SQL'
CREATE ROLE remit_reader LOGIN PASSWORD :'reader';
CREATE ROLE remit_control LOGIN PASSWORD :'control';
CREATE DATABASE claims;
CREATE DATABASE remit OWNER remit_control;
GRANT pg_read_all_data TO remit_reader;
ALTER ROLE remit_reader SET default_transaction_read_only = on;
REVOKE CONNECT ON DATABASE remit FROM PUBLIC;
GRANT CONNECT ON DATABASE remit TO remit_control;
SQL
