package main

import (
	"errors"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/entries"
	"github.com/warrenmq/warren/store/keys"
)

// TestADamagedCopyIsSentAnew: what one of three nodes has of a group cannot be read any more. It is given up, and the others
// send theirs, though their leader has long been told that the node has everything.
func TestADamagedCopyIsSentAnew(t *testing.T) {
	c := startTrio(t)
	c.nodes[2].stop()
	s, err := store.Open(filepath.Join(c.dir, "n3"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	head, ok, err := entries.New(s, 1).SnapshotHead()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	space := keys.Space{Group: 1, Number: head.Space}
	if err := errors.Join(s.DB.Delete(space.SnapshotPart(head.Index, 0), pebble.Sync), s.Close()); err != nil {
		t.Fatal(err)
	}
	c.begin(2)
	c.nodes[2].ready()
	sent := regexp.MustCompile(`(?s)damaged copy of the group was dropped[^\n]*group=1\n.*another member has sent takes the place[^\n]*group=1 .*switched to configuration voters=\(1 2 3\)[^\n]*group=1\n`)
	within(t, clusterPatience, "the group has three members again", func() bool { return sent.MatchString(c.nodes[2].stdout.String()) })
}
