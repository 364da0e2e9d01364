package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// command runs a command to its end, and gives what it says.
func command(t *testing.T, args ...string) string {
	t.Helper()
	said, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("warren %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

// refusal runs a command that fails, and gives what it says.
func refusal(t *testing.T, args ...string) string {
	t.Helper()
	said, err := exec.Command(binary, args...).CombinedOutput()
	if err == nil || strings.Count(string(said), "\n") != 1 {
		t.Fatalf("warren %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

// freePorts gives addresses on which nobody listens.
func freePorts(t *testing.T, n int) (list []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list
}

// TestClusterCommands: what they refuse, and what they leave as it is.
func TestClusterCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n1")
	node := []string{"--data-dir", dir, "--cluster-listen", "127.0.0.1:1"}
	said := command(t, append([]string{"cluster", "init"}, node...)...)
	token := regexp.MustCompile(`warren cluster join (warren1_\S+) 127\.0\.0\.1:1 --cluster-listen ADDRESS`).FindStringSubmatch(said)
	if token == nil {
		t.Fatalf("init says %s", said)
	}
	before, err := os.ReadFile(filepath.Join(dir, "cluster", "node.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if said := command(t, append([]string{"cluster", "init"}, node...)...); !strings.Contains(said, "in order as it is") {
		t.Errorf("again it says %s", said)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "cluster", "node.pem")); err != nil || string(after) != string(before) {
		t.Errorf("a second init changes the certificate: %v", err)
	}
	other := []string{"--data-dir", filepath.Join(t.TempDir(), "n2"), "--cluster-listen", "127.0.0.1:2"}
	copied := command(t, append([]string{"cluster", "init", "--authority", filepath.Join(dir, "cluster", "authority.pem")}, other...)...)
	if strings.Contains(copied, "join") {
		t.Errorf("an init that adopts says %s", copied)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"cluster"}, "usage: "},
		{[]string{"cluster", "what"}, "usage: "},
		{[]string{"cluster", "init", "--data-dir", dir}, "give --cluster-listen"},
		{[]string{"cluster", "init", "--data-dir", dir, "--cluster-listen", "0.0.0.0:1"}, "give --cluster-address"},
		{[]string{"cluster", "token", "--data-dir", t.TempDir()}, "has no authority"},
		{[]string{"cluster", "token", "--valid", "soon"}, "is no time"},
		{[]string{"cluster", "join", "no", "127.0.0.1:1", "--cluster-listen", "127.0.0.1:3"}, "this is no token"},
		{append([]string{"cluster", "join", token[1], "127.0.0.1:1", "--data-dir", t.TempDir()}, other[2:]...), "connection refused"},
		{[]string{"--data-dir", t.TempDir(), "--cluster-listen", "0.0.0.0:0", "--etcd-embed"}, "see warren cluster init"},
		{[]string{"--data-dir", dir, "--cluster-listen", "127.0.0.1:0", "--etcd-endpoints", "http://203.0.113.1:2379"}, "etcd at http://203.0.113.1:2379 can be reached"},
	} {
		if said := refusal(t, c.args...); !strings.Contains(said, c.says) {
			t.Errorf("%q: %s", c.args, said)
		}
	}
}

// TestACertificateIsRenewed while the node runs, by the node that can sign and by one that asks it.
func TestACertificateIsRenewed(t *testing.T) {
	dir, at := t.TempDir(), freePorts(t, 4)
	first := []string{"--data-dir", filepath.Join(dir, "n1"), "--cluster-listen", at[0], "--etcd-embed", "--etcd-listen", at[1], "--etcd-peer-listen", at[2],
		"--cluster-tls-lifetime", "6s", "--node-name", "n1"}
	second := []string{"--data-dir", filepath.Join(dir, "n2"), "--cluster-listen", at[3], "--node-name", "n2"}
	command(t, append([]string{"cluster", "init"}, first...)...)
	a := run(t, dir, append(first, "--metrics-listen", "")...)
	token := strings.TrimSpace(command(t, "cluster", "token", "--data-dir", filepath.Join(dir, "n1")))
	command(t, append([]string{"cluster", "join", token, at[0]}, second...)...)
	b := run(t, dir, append(second, "--metrics-listen", "")...)
	for _, p := range []*process{a, b} {
		eventually(t, "its certificate is renewed twice", func() bool {
			return strings.Count(p.stdout.String(), "the node's certificate is renewed") >= 2
		})
	}
}

// TestImpostorsDoNotStart: without a certificate, with one of another authority, with one that has ended, a node does not get
// into a cluster, and both sides say why.
func TestImpostorsDoNotStart(t *testing.T) {
	dir, at := t.TempDir(), freePorts(t, 3)
	first := []string{"--data-dir", filepath.Join(dir, "n1"), "--cluster-listen", at[0], "--etcd-embed", "--etcd-listen", at[1], "--etcd-peer-listen", at[2]}
	command(t, append([]string{"cluster", "init"}, first...)...)
	p := run(t, dir, append(first, "--metrics-listen", "")...)
	own := filepath.Join(dir, "n1", "cluster", "authority.pem")
	impostor := func(name string, init ...string) []string {
		data := filepath.Join(dir, name)
		command(t, append([]string{"cluster", "init", "--data-dir", data, "--cluster-listen", "127.0.0.1:1"}, init...)...)
		return []string{"--data-dir", data}
	}
	ended := impostor("ended", "--authority", own, "--cluster-tls-lifetime", "1ns")
	for _, c := range []struct {
		what        string
		args        []string
		here, there string
	}{
		{"of another authority", impostor("other"), "certificate signed by unknown authority", "bad certificate"},
		{"that has ended", ended, "expired certificate", "certificate has expired"},
	} {
		from := len(p.stdout.String())
		q := launch(t, dir, append(c.args, "--listen", "127.0.0.1:0", "--management-listen", "", "--metrics-listen", "", "--cluster-listen", "127.0.0.1:0",
			"--etcd-endpoints", "https://"+at[1])...)
		if code := q.ends(); code != 1 || !strings.Contains(q.stderr.String(), c.here) {
			t.Errorf("a certificate %s: exit code %d, says %s", c.what, code, q.stderr.String())
		}
		eventually(t, "the other side says why", func() bool { return strings.Contains(p.stdout.String()[from:], c.there) })
	}
}
