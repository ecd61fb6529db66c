#!/usr/bin/env bash
# rclone 1.76.0's `serve s3` answers InitiateMultipartUpload with a document whose root element is
# InitiateMultipartUpload; S3's is InitiateMultipartUploadResult, and clients that look for that name find no UploadId.
# Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$directory"' EXIT
cd "$directory"
GOBIN=$directory GOFLAGS=-modcacherw go install github.com/rclone/rclone@v1.76.0
go version -m rclone | grep -w mod
mkdir -p data/bucket
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
./rclone serve s3 --config '' --addr "127.0.0.1:$port" data >server.log 2>&1 &
server=$!
url=http://127.0.0.1:$port
curl --silent --retry 60 --retry-delay 1 --retry-connrefused --output /dev/null "$url/"
answer=$(curl --silent -X POST "$url/bucket/key?uploads")
echo "$answer"
echo "$answer" | grep -q '<InitiateMultipartUpload[ >]' && echo "$answer" | grep -q '<UploadId>'
