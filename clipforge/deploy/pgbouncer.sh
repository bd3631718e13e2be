#!/usr/bin/env bash
# PgBouncer in transaction mode, for web: hundreds of threads share a few connections of PostgreSQL.
# Workers and migrations go to PostgreSQL itself: they listen for news, and set what holds for a session.
# Takes the address of the server from PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.
set -euo pipefail
umask 077
folder=${FOLDER:-/tmp}

quoted() { printf '"%s"' "${1//\"/\"\"}"; }

printf '%s %s\n' "$(quoted "$PGUSER")" "$(quoted "$PGPASSWORD")" >"$folder/users.txt"
cat >"$folder/pgbouncer.ini" <<INI
[databases]
; The settings that a connection of web gets elsewhere when it is opened.
$PGDATABASE = host=$PGHOST port=${PGPORT:-5432} user=$PGUSER connect_query='SET statement_timeout = ${STATEMENT_TIMEOUT_MS:-5000}; SET lock_timeout = 5000; SET idle_in_transaction_session_timeout = 60000'

[pgbouncer]
listen_addr = ${LISTEN_ADDRESS:-0.0.0.0}
listen_port = ${LISTEN_PORT:-6432}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $folder/users.txt
pool_mode = transaction
; Of PostgreSQL's; WEB_PROCESSES x WEB_THREADS of all web servers together wait for one.
default_pool_size = ${POOL_SIZE:-20}
max_client_conn = ${MOST_CLIENTS:-1000}
; A request waits no longer for one: 503, as without a database.
query_wait_timeout = 5
server_connect_timeout = 5
ignore_startup_parameters = extra_float_digits,options
log_connections = 0
log_disconnections = 0
INI
exec pgbouncer "$folder/pgbouncer.ini"
