//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inNamespaces runs the test again in a network of its own, and tells whether this is that run. What it makes there ends with
// it.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	if inside := os.Getenv(insideKey); inside != "" {
		binary = inside
		return true
	}
	again := exec.Command(os.Args[0], append(slices.Clone(os.Args[1:]), "-test.run=^"+t.Name()+"$", "-test.v", "-test.testlogfile=")...)
	again.Env = append(os.Environ(), insideKey+"="+binary)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	said, err := again.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	again.Stderr = again.Stdout
	if err := again.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("this system lets the test make no network namespaces: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for lines := bufio.NewScanner(said); lines.Scan(); {
		t.Log(lines.Text())
		if saidByTest.MatchString(lines.Text()) {
			tests = append(tests, lines.Text()[:min(len(lines.Text()), 400)])
		}
	}
	if err := again.Wait(); err != nil {
		t.Errorf("%v; the tests said last:\n%s", err, strings.Join(tests[max(0, len(tests)-12):], "\n"))
	}
	return false
}

// saidByTest is the first line of what a test says; those of the processes that it shows are indented further.
var saidByTest = regexp.MustCompile(`^ {4,8}(---|\w+_test\.go:\d+:) `)

// lan is a network that the test makes: a bridge that it is on itself, and hosts, each in a namespace of its own.
type lan struct {
	t     *testing.T
	hosts []*host
}

// host is a namespace with an address.
type host struct {
	lan  *lan
	addr string // IP
	pid  string // of the process that keeps the namespace
	disk string // where its disk is mounted; empty: it has none of its own
}

func newLAN(t *testing.T, hosts int) *lan {
	t.Helper()
	l := &lan{t: t}
	l.run("mount", "--make-rprivate", "/")
	l.run("mount", "-t", "proc", "proc", "/proc")
	l.run("ip", "link", "set", "lo", "up")
	l.run("ip", "link", "add", "lan", "type", "bridge")
	l.run("ip", "addr", "add", "10.77.0.254/24", "dev", "lan")
	l.run("ip", "link", "set", "lan", "up")
	for i := range hosts {
		l.hosts = append(l.hosts, l.add(i+1))
	}
	return l
}

// run runs a command of the system.
func (l *lan) run(command ...string) {
	l.t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

func (l *lan) add(number int) *host {
	l.t.Helper()
	keeper := exec.Command("sleep", "infinity")
	keeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := keeper.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = keeper.Process.Kill()
		_ = keeper.Wait() // it was killed
	})
	h := &host{lan: l, addr: fmt.Sprint("10.77.0.", number), pid: strconv.Itoa(keeper.Process.Pid)}
	link := fmt.Sprint("host", number)
	l.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", h.pid)
	l.run("ip", "link", "set", link, "master", "lan", "up")
	h.run("ip", "addr", "add", h.addr+"/24", "dev", "eth0")
	h.run("ip", "link", "set", "eth0", "up")
	h.run("ip", "link", "set", "lo", "up")
	return h
}

// enter is what a command begins with that runs on the host.
func (h *host) enter() []string { return []string{"nsenter", "--net=/proc/" + h.pid + "/ns/net"} }

func (h *host) run(command ...string) {
	h.lan.t.Helper()
	h.lan.run(append(h.enter(), command...)...)
}

// cut loses what the host sends to others, without a word to either.
func (h *host) cut(to ...*host) {
	h.lan.t.Helper()
	for _, other := range to {
		h.run("ip", "neigh", "replace", other.addr, "lladdr", "02:00:00:00:00:99", "nud", "permanent", "dev", "eth0")
	}
}

// mend undoes cut.
func (h *host) mend(to ...*host) {
	h.lan.t.Helper()
	for _, other := range to {
		h.run("ip", "neigh", "del", other.addr, "dev", "eth0")
	}
}

// giveDisk gives the host a file system of its own. It tells whether the system lets the test mount one.
func (h *host) giveDisk(dir string, bytes int64) bool {
	t := h.lan.t
	t.Helper()
	image := dir + ".img"
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(bytes), f.Close(), os.MkdirAll(dir, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Logf("no disk of its own: %v: %s", err, out)
			return false
		}
	}
	h.disk = dir
	t.Cleanup(func() {
		h.thaw()
		_ = exec.Command("umount", "--lazy", dir).Run() // the namespace ends anyway
	})
	return true
}

// freeze stalls the host's disk: whoever writes waits.
func (h *host) freeze() {
	h.lan.t.Helper()
	h.lan.run("fsfreeze", "--freeze", h.disk)
}

// thaw ends freeze; nothing happens if there was none.
func (h *host) thaw() { _ = exec.Command("fsfreeze", "--unfreeze", h.disk).Run() }

// TestALANLosesWhatIsCut: what the tests of a cluster rely on.
func TestALANLosesWhatIsCut(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	l := newLAN(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	command := append(b.enter(), binary, "--ephemeral", "--listen", b.addr+":5672", "--management-listen", "", "--metrics-listen", "")
	launchCommand(t, t.TempDir(), command).ready()
	reaches := func() bool {
		check := append(a.enter(), "timeout", "1", "bash", "-c", "</dev/tcp/"+b.addr+"/5672")
		return exec.Command(check[0], check[1:]...).Run() == nil
	}
	if !reaches() {
		t.Fatal("hosts do not reach each other")
	}
	for _, way := range [][2]*host{{a, b}, {b, a}} {
		way[0].cut(way[1])
		if reaches() {
			t.Errorf("what %s sends to %s arrives", way[0].addr, way[1].addr)
		}
		way[0].mend(way[1])
		within(t, patience, "they reach each other again", reaches)
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if !a.giveDisk(dir, 64<<20) {
		t.Skip("this system lets the test mount no file systems, so that none can be stalled")
	}
	a.freeze()
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600) }()
	select {
	case err := <-written:
		t.Error("a write to a stalled disk ended", err)
	case <-time.After(100 * time.Millisecond):
	}
	a.thaw()
	if err := <-written; err != nil {
		t.Error(err)
	}
}
