# Keeps a PostgreSQL server that speaks TLS until the end of input. $1: folder of its programs, $2: port.
set -eu
folder=$(mktemp -d /tmp/idp-tls-XXXXXX)
clean() { "$1/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"; }
trap 'clean "$1"' EXIT
cd "$folder"
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
{
    for name in ca other; do
        openssl req -x509 $key -days 2 -subj "/CN=$name" -keyout $name.key -out $name.pem
    done
    openssl req $key -subj /CN=localhost -keyout server.key -out server.csr
    printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem
    openssl x509 -req -in server.csr -signkey server.key -days 2 -extfile extensions -out self.pem
    cp server.key self.key
    chmod 755 . && chmod 644 ./*.pem && chmod 600 ./*.key
    printf hunter2 >password
    "$1/initdb" -D data -U ada -A scram-sha-256 --pwfile=password --no-sync
    # Without TLS nobody gets in.
    echo 'hostssl all all 127.0.0.1/32 scram-sha-256' >data/pg_hba.conf
    cat >>data/postgresql.conf <<END
port = $2
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
fsync = off
ssl = on
ssl_cert_file = '$folder/server.pem'
ssl_key_file = '$folder/server.key'
END
    "$1/pg_ctl" -D data -w start
} >log 2>&1 </dev/null || { cat log >&2; exit 1; }
echo "$folder"
cat >/dev/null
