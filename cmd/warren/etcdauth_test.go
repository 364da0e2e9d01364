package main

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/warrenmq/warren/cluster/authority"
	"github.com/warrenmq/warren/cluster/etcdmeta"
)

// tokenTime is how long etcd believes who has given a password.
const tokenTime = 2 * time.Second

// guarded is an etcd outside that wants certificates, and passwords whose tokens last for seconds.
type guarded struct {
	url   string
	files authority.Files
	flags []string // for a node that uses it, but for its password
}

func guardedEtcd(t *testing.T) *guarded {
	t.Helper()
	dir, at := t.TempDir(), freePorts(t, 2)
	command(t, "cluster", "init", "--data-dir", dir, "--cluster-listen", "127.0.0.1:1")
	g := &guarded{url: "https://" + at[0], files: authority.Dir(filepath.Join(dir, "cluster")).Files()}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.LogOutputs, c.AuthTokenTTL = filepath.Join(dir, "etcd"), "error", []string{filepath.Join(dir, "etcd.log")}, uint(tokenTime/time.Second)
	client, peer := url.URL{Scheme: "https", Host: at[0]}, url.URL{Scheme: "http", Host: at[1]}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile, c.ClientTLSInfo.TrustedCAFile = g.files.Certificate, g.files.Key, g.files.CA
	c.ClientTLSInfo.ClientCertAuth = true
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
	g.allow(t, "warren", "secret")
	g.flags = []string{
		"--cluster-insecure", "--cluster-listen", "127.0.0.1:0", "--cluster-lease", "3s", "--etcd-endpoints", g.url, "--etcd-prefix", "/prod/",
		"--etcd-tls-cacertfile", g.files.CA, "--etcd-tls-certfile", g.files.Certificate, "--etcd-tls-keyfile", g.files.Key, "--etcd-user", "warren",
		"--metrics-listen", "",
	}
	return g
}

// allow lets a user in to everything below /prod/, and nobody else to anything.
func (g *guarded) allow(t *testing.T, user, password string) {
	t.Helper()
	identity, err := authority.Open(g.files)
	if err != nil {
		t.Fatal(err)
	}
	client, err := etcdmeta.Dial(clientv3.Config{Endpoints: []string{g.url}, TLS: identity.TLS()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(client.RoleAdd(ctx, "broker"))
	must(client.RoleGrantPermission(ctx, "broker", "/prod/", clientv3.GetPrefixRangeEnd("/prod/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	must(client.UserAdd(ctx, user, password))
	must(client.UserGrantRole(ctx, user, "broker"))
	must(client.UserAdd(ctx, "root", "root"))
	must(client.UserGrantRole(ctx, "root", "root"))
	must(client.AuthEnable(ctx))
}

// TestAnEtcdThatAsksWhoIsThere, over TLS, with certificates and passwords, and rights to no more than the cluster's own keys.
// Tokens end while the nodes run, which takes nothing from anybody.
func TestAnEtcdThatAsksWhoIsThere(t *testing.T) {
	g, dir := guardedEtcd(t), t.TempDir()
	node := func(name string, more ...string) []string {
		return append(append([]string{"--node-name", name, "--data-dir", filepath.Join(dir, name)}, g.flags...), more...)
	}
	if said := refusal(t, node("n1", "--etcd-password", "guessed", "--listen", "127.0.0.1:0", "--management-listen", "")...); !strings.Contains(said, "authentication failed, invalid user ID or password") {
		t.Error(said)
	}
	a := run(t, dir, node("n1", "--etcd-password", "secret")...)
	b := run(t, dir, node("n2", "--etcd-password", "secret")...)
	first, second := a.channel(), b.channel()
	for i, began := 0, time.Now(); time.Since(began) < 3*tokenTime; i++ {
		name := fmt.Sprint("q", i)
		if _, err := first.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := second.QueueDeclarePassive(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*process{a, b} {
		if said := p.stdout.String(); strings.Contains(said, "lease is lost") {
			t.Error(said)
		}
	}
}
