#!/usr/bin/env bash
# moto's S3 server says in ListMultipartUploads of every open upload that it was initiated on 2010-11-10T20:48:33.000Z:
# what gives up uploads that are older than a day gives up those there that were begun just now. Exits with 0 as long as
# that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'moto[server]==5.2.1'
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/moto_server -H 127.0.0.1 -p "$port" >server.log 2>&1 &
server=$!
bucket=http://127.0.0.1:$port/bucket
curl --silent --retry 60 --retry-delay 1 --retry-connrefused --output /dev/null "http://127.0.0.1:$port/"
curl --silent --output /dev/null -X PUT "$bucket"
curl --silent --output /dev/null -X POST "$bucket/key?uploads"
began=$(curl --silent "$bucket?uploads" | grep -o '<Initiated>[^<]*' | cut -d '>' -f 2)
venv/bin/python -c 'import moto; print("moto", moto.__version__)'
echo "now:                   $(date -u +%Y-%m-%dT%H:%M:%S.000Z)"
echo "upload begun just now: $began"
[ "$began" = 2010-11-10T20:48:33.000Z ]
