package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/cluster/etcdmeta"
)

// Variables that make a process of the tests something else.
const (
	insideKey  = "TEST_BROKER"   // a test in namespaces of its own, and with which broker
	etcdKey    = "TEST_ETCD"     // etcd, and the directory of its data
	etcdURLKey = "TEST_ETCD_URL" // and where it listens for clients
)

// runEtcd is etcd, until it is killed.
func runEtcd(dir, url string) {
	o := etcdmeta.EmbedOptions{Name: "etcd", Dir: dir, ClientURL: url, PeerURL: "http://127.0.0.1:2380", Logger: zerolog.New(os.Stderr)}
	if _, err := etcdmeta.Embed(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("Server startup complete")
	select {}
}

// launchEtcd starts etcd, and does not wait for it.
func launchEtcd(t *testing.T, enter []string, dir, url string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return launchCommand(t, dir, append(enter, self), etcdKey+"="+filepath.Join(dir, "etcd"), etcdURLKey+"="+url)
}
