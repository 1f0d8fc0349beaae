#!/bin/sh
# Makes the secrets that compose.yaml mounts, those that are not there yet.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
random() { [ -s "secrets/$1" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$1"; }
for name in id-key file-url-key token-secret postgres-password reader-password control-password; do random "$name"; done
[ -s secrets/warehouse ] || printf 'postgres://remit_reader:%s@postgres/claims?sslmode=disable' "$(cat secrets/reader-password)" >secrets/warehouse
[ -s secrets/control ] || printf 'postgres://remit_control:%s@postgres/remit?sslmode=disable' "$(cat secrets/control-password)" >secrets/control
# The containers run as nobody in particular and must be able to read them; the folder keeps others out.
chmod 644 secrets/*
