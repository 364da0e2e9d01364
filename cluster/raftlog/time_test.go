package raftlog

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/store/oplog"
)

// TestTheLogsTimeNeverGoesBack, whatever the clock does, also over a restart.
func TestTheLogsTimeNeverGoesBack(t *testing.T) {
	n := start(t, vfs.NewMem(), Options{})
	m := n.notes(1)
	for i, now := range []int64{5000, 6000, 100, 200, 1_000_000, 3, 4} {
		n.now.Store(now)
		propose(t, m.log, 1, uint64(i+1), "x")
		m.wait(i + 1)
	}
	for i := 1; i < len(m.times); i++ {
		if m.times[i] < m.times[i-1] {
			t.Errorf("%v", m.times)
		}
	}
	if m.times[3] != m.times[2]+100 {
		t.Errorf("after the clock was set back, time stands still: %v", m.times)
	}
	if now := m.log.Now(); now != m.times[len(m.times)-1] {
		t.Errorf("it is %d after %v", now, m.times)
	}
	n.stop()
}

// TestTimeGoesOnAfterARestart from the newest entry, though the clock was set back, and lives without a word lie between.
func TestTimeGoesOnAfterARestart(t *testing.T) {
	for _, snapshots := range []bool{false, true} {
		fs, o := vfs.NewMem(), Options{}
		if snapshots {
			o.SnapshotBytes = 1
		}
		n := start(t, fs, o)
		n.now.Store(5000)
		m := n.notes(1)
		propose(t, m.log, 1, 1, "x")
		m.wait(1)
		n.stop()
		for range 3 {
			n = start(t, fs, o)
			n.now.Store(100)
			m = n.notes(1)
			m.wait(1)
			if now := m.log.Now(); now != 5000 {
				t.Errorf("snapshots %v: it is %d", snapshots, now)
			}
			n.stop()
		}
	}
}

// TestTimeFollowsTheNewestEntryThatHasOne: a new leader's first entry, which has none, may come with those before it.
func TestTimeFollowsTheNewestEntryThatHasOne(t *testing.T) {
	m := &member{time: logTime{clock: func() int64 { return 1000 }}}
	data := oplog.AppendEntry(nil, 7000, []oplog.Batch{{Data: []byte("x")}})
	m.followTime([]*raftpb.Entry{{Data: oplog.AppendEntry(nil, 6000, nil)}, {Data: data}, {}, {Type: raftpb.EntryConfChange.Enum(), Data: []byte("y")}})
	if now := m.time.now(); now != 7000 {
		t.Errorf("it is %d", now)
	}
}
