#!/bin/sh
# usage: keep-postgres.sh BIN_FOLDER PORT
#
# Keeps a throwaway PostgreSQL cluster on 127.0.0.1:PORT for as long as standard input stays open, then removes it.
# The end of input is the one message that arrives however the other side ends: return, panic, Ctrl-C or kill -9.
# Says "ready" once connections are accepted.
set -eu
bin=$1
port=$2

# On a disk even where /tmp is memory: a cluster that is used to prove durability has to sync something.
home=$(mktemp -d /var/tmp/idp-postgres.XXXXXX)

remove() {
    # Nobody reads the data again, so it needs no checkpoint.
    "$bin/pg_ctl" stop --pgdata "$home/data" --mode immediate --silent >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap remove EXIT
trap 'exit 1' HUP INT TERM
# Otherwise "ready", said to nobody, ends this shell before it has cleaned up.
trap '' PIPE

# Runs a command quietly; when it fails, shows what it and the server had to say.
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
