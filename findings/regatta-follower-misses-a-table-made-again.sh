#!/usr/bin/env bash
# A follower cluster does not notice that its leader cluster has deleted a table and made it again: neither the cluster nor the
# shard is named to it, so it goes on in the new log at the old index, keeps the keys of the old table, and never gets the first
# ones of the new one. Exits with 0 as long as that is so, with 1 when it has changed.
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
	"strings"
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

// keys are those of a table that a node has applied.
func (n *node) keys(table string) string {
	var keys []string
	eventually(func(ctx context.Context) error {
		all := []byte{0}
		response, err := n.kv.Range(ctx, &pb.RangeRequest{
			Table: []byte(table), Key: all, RangeEnd: all, KeysOnly: true})
		if err != nil {
			return err
		}
		keys = nil
		for _, pair := range response.Kvs {
			keys = append(keys, string(pair.Key))
		}
		return nil
	})
	return strings.Join(keys, " ")
}

func (n *node) has(table, key string) {
	eventually(func(context.Context) error {
		if strings.Contains(" "+n.keys(table)+" ", " "+key+" ") {
			return nil
		}
		return fmt.Errorf("%s has not come", key)
	})
}

func main() {
	leader := start("leader")
	defer leader.stop()
	leader.make("table")
	for i := 1; i <= 5; i++ {
		leader.put("table", fmt.Sprintf("old/%d", i), []byte("value"))
	}
	follower := start("follower", "--replication.leader-address=http://"+leader.replication,
		"--replication.poll-interval=100ms", "--replication.reconcile-interval=30s")
	defer follower.stop()
	follower.has("table", "old/5")

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	_, err := leader.tables.Delete(ctx, &pb.DeleteTableRequest{Name: "table"})
	cancel()
	must(err)
	leader.make("table")
	for i := 1; i <= 20; i++ {
		leader.put("table", fmt.Sprintf("new/%02d", i), []byte("value"))
	}
	follower.has("table", "new/20")
	// The follower cluster compares the lists of tables once more before this ends.
	time.Sleep(35 * time.Second)
	there, here := leader.keys("table"), follower.keys("table")
	fmt.Printf("%s, a table of 5 keys that was replicated, deleted, and made again with 20\n", version)
	fmt.Printf("leader cluster:   %s\nfollower cluster: %s\n", there, here)
	if !strings.Contains(here, "old/1") || strings.Contains(here, "new/01") {
		os.Exit(1)
	}
}

GO
go mod tidy >/dev/null 2>&1
go run .
