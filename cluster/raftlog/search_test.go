package raftlog

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/store/keys"
	"github.com/warrenmq/warren/store/oplog"
)

// TestASearchFindsDamage that nobody has met: the group refuses from then on, and others serve.
func TestASearchFindsDamage(t *testing.T) {
	fs := vfs.NewMem()
	n := start(t, fs, Options{})
	for group := uint64(1); group <= 2; group++ {
		m := n.notes(group)
		propose(t, m.log, 1, 1, "some-data")
		m.wait(1)
	}
	n.stop()
	n = start(t, fs, Options{})
	hurt, healthy := n.notes(1), n.notes(2)
	must(t, n.store.DB.Delete(keys.SnapshotPart(1, snapshotIndex(t, n.store, 1), 0), nil))
	propose(t, hurt.log, 1, 2, "nobody has met it")
	hurt.wait(2)
	done := make(chan struct{})
	n.host.Search([]uint64{1, 2, 3}, func() { close(done) })
	<-done
	if err := hurt.log.Propose(oplog.Batch{Data: []byte("x")}); !errors.Is(err, oplog.ErrDamaged) {
		t.Error(err)
	}
	propose(t, healthy.log, 1, 2, "x")
	healthy.wait(2)
	n.stop()
}
