#!/usr/bin/env bash
# Range with a limit says more=false although one key of the range is left out, where exactly limit + 1 keys match: whoever reads
# page by page misses the last one. Exits with 0 as long as that is so, with 1 when it has changed.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
go mod init finding >/dev/null 2>&1
go get github.com/jamf/regatta@v0.5.2 >/dev/null 2>&1
go build -o regatta github.com/jamf/regatta
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	pb "github.com/jamf/regatta/regattapb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const version = "Regatta v0.5.2"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// freePort gives a port that nothing listens on.
func freePort() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// node is one process of Regatta, alone in its cluster.
type node struct {
	process     *exec.Cmd
	api         string
	replication string
	kv          pb.KVClient
	tables      pb.TablesClient
}

func start(role string, flags ...string) *node {
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", freePort()) }
	n := &node{api: address(), replication: address()}
	directory, err := os.MkdirTemp(".", role)
	must(err)
	raft, gossip := address(), address()
	args := append([]string{role,
		"--api.address=http://" + n.api, "--api.advertise-address=http://" + n.api, "--rest.address=http://" + address(),
		"--raft.address=" + raft, "--raft.initial-members=1=" + raft,
		"--raft.node-host-dir=" + directory + "/raft", "--raft.state-machine-dir=" + directory + "/state",
		"--memberlist.address=" + gossip, "--memberlist.advertise-address=" + gossip}, flags...)
	if role == "leader" {
		args = append(args, "--replication.address=http://"+n.replication)
	}
	n.process = exec.Command("./regatta", args...)
	must(n.process.Start())
	connection, err := grpc.NewClient(n.api, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	n.kv, n.tables = pb.NewKVClient(connection), pb.NewTablesClient(connection)
	return n
}

func (n *node) stop() { n.process.Process.Kill(); n.process.Wait() }

// eventually repeats what fails until a minute is over.
func eventually(act func(context.Context) error) {
	var err error
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err = act(ctx)
		cancel()
		if err == nil {
			return
		}
	}
	panic(err)
}

// make makes a table, and waits until it takes requests.
func (n *node) make(table string) {
	eventually(func(ctx context.Context) error {
		_, err := n.tables.Create(ctx, &pb.CreateTableRequest{Name: table})
		return err
	})
	eventually(func(ctx context.Context) error {
		_, err := n.kv.Range(ctx, &pb.RangeRequest{Table: []byte(table), Key: []byte("x"), Linearizable: true})
		return err
	})
}

func (n *node) put(table, key string, value []byte) {
	eventually(func(ctx context.Context) error {
		_, err := n.kv.Put(ctx, &pb.PutRequest{Table: []byte(table), Key: []byte(key), Value: value})
		return err
	})
}

func main() {
	leader := start("leader")
	defer leader.stop()
	leader.make("table")
	for _, key := range []string{"a", "b", "c"} {
		leader.put("table", key, []byte("value"))
	}
	fmt.Printf("%s, keys a, b and c\n", version)
	more := map[int64]bool{}
	for limit := int64(1); limit <= 3; limit++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		response, err := leader.kv.Range(ctx, &pb.RangeRequest{
			Table: []byte("table"), Key: []byte("a"), RangeEnd: []byte{0}, Limit: limit, Linearizable: true})
		cancel()
		must(err)
		more[limit] = response.More
		fmt.Printf("limit %d: %d of 3 keys, more=%t\n", limit, len(response.Kvs), response.More)
	}
	if !more[1] || more[2] || more[3] {
		os.Exit(1)
	}
}

GO
go mod tidy >/dev/null 2>&1
go run .
