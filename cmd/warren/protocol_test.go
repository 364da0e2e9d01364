package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNodesThatDoNotUnderstandEachOther: a node comes back that speaks another protocol. The others go on without it, all say why,
// and it is one of them again when it speaks theirs.
func TestNodesThatDoNotUnderstandEachOther(t *testing.T) {
	const stranger = "-X github.com/warrenmq/warren/cluster/transport.spoken=7"
	l := startLosing(t)
	l.fill(8, 3)
	other := filepath.Join(l.dir, "other")
	args := append(append([]string{"build"}, buildFlags...), "-ldflags", stranger, "-o", other, ".")
	if said, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	l.nodes[2].stop()
	l.runs = map[int]string{2: other}
	l.begin(2)
	l.nodes[2].ready()
	text := "node n3 speaks protocol 7 between nodes, and node n4 protocol 1: they do not hear each other"
	within(t, clusterPatience, "the doctor says so", func() bool {
		said, code := l.ctl(fourth, "doctor")
		return code == 1 && strings.Contains(said, text) && strings.Contains(said, "bring both to versions that go together")
	})
	within(t, clusterPatience, "all logs say so", func() bool {
		refused := strings.Contains(l.nodes[2].stdout.String(), "a node is refused") && strings.Contains(l.nodes[0].stdout.String(), "a node is refused")
		return refused && strings.Contains(l.nodes[2].stdout.String(), "protocol 7") && strings.Contains(l.front.stdout.String(), "protocol 7")
	})
	for i := range 8 {
		l.publish("lost"+string(rune('0'+i)), "3")
	}
	l.nodes[2].stop()
	l.runs = nil
	l.begin(2)
	l.nodes[2].ready()
	l.sound(4, 6)
	l.holds(8, 4)
}
