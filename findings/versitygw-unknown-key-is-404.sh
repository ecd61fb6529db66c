#!/usr/bin/env bash
# versitygw 1.8.0 answers a request that is signed with an access key that it does not know with 404 XAdminUserNotFound,
# also a GET and a DELETE of an object that is there; S3 has 403 InvalidAccessKeyId for that. A client that takes every 404
# for absence finds no object, and takes its deletion for done. Exits with 0 as long as that is so, with 1 when it has
# changed.
set -euo pipefail
directory=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$directory"' EXIT
cd "$directory"
GOBIN=$directory GOFLAGS=-modcacherw go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
go version -m versitygw | grep -w mod
mkdir -p data/bucket
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ROOT_ACCESS_KEY=known ROOT_SECRET_KEY=known-secret ./versitygw --port "127.0.0.1:$port" posix data >server.log 2>&1 &
server=$!
url=http://127.0.0.1:$port
curl --silent --retry 60 --retry-delay 1 --retry-connrefused --output /dev/null "$url/"
ask() {
  local method=$1 user=$2 path=$3 status
  shift 3
  status=$(curl --silent --output answer --write-out '%{http_code}' --aws-sigv4 aws:amz:us-east-1:s3 --user "$user" \
    -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" -X "$method" "$@" "$url/$path")
  echo "$status $(grep -o '<Code>[^<]*' answer | cut -d '>' -f 2 || true)"
}
echo "PUT by a known key:         $(ask PUT known:known-secret bucket/object --data-binary value)"
echo "GET by a known key:         $(ask GET known:known-secret bucket/object)"
got=$(ask GET unknown:secret bucket/object)
deleted=$(ask DELETE unknown:secret bucket/object)
echo "GET by an unknown key:      $got"
echo "DELETE by an unknown key:   $deleted"
echo "GET by a known key after:   $(ask GET known:known-secret bucket/object)"
[ "$got" = '404 XAdminUserNotFound' ] && [ "$deleted" = '404 XAdminUserNotFound' ]
