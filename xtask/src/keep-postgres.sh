#!/bin/sh
# usage: keep-postgres.sh BIN_FOLDER PORT
#
# Runs a throw-away PostgreSQL cluster on 127.0.0.1:PORT until standard input ends, then removes it. End of input
# arrives however the parent process ends: return, panic, Ctrl-C or kill -9.
# Prints "ready" once connections are accepted.
set -eu
bin=$1
port=$2

# /var/tmp is on disk even where /tmp is in memory: tests of durability need syncs that mean something.
home=$(mktemp -d /var/tmp/idp-postgres.XXXXXX)

remove() {
    # The data is not needed again, so no checkpoint either.
    "$bin/pg_ctl" stop --pgdata "$home/data" --mode immediate --silent >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap remove EXIT
trap 'exit 1' HUP INT TERM
# Without this, printing "ready" to a closed pipe would end this shell before it has cleaned up.
trap '' PIPE

# Runs a command quietly. If it fails, shows its output and the server's.
quietly() {
    "$@" >>"$home/log" 2>&1 || {
        cat "$home/log" >&2
        exit 1
    }
}

quietly "$bin/initdb" --pgdata "$home/data" --username postgres --auth trust --encoding UTF8 --no-locale --no-sync
cat >>"$home/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$home'
max_connections = 400
fsync = on
synchronous_commit = on
END
quietly "$bin/pg_ctl" start --pgdata "$home/data" --log "$home/log" --wait --timeout 60

echo ready
cat >/dev/null
