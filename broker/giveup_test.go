package broker

import (
	"errors"
	"testing"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/store/oplog"
)

// quiet is a host of logs in which nothing happens.
type quiet struct{ oplog.Log }

// Open implements oplog.Host.
func (q quiet) Open(uint64, []uint64, oplog.Machine) (oplog.Log, error) { return q, nil }

// Damage implements oplog.Log.
func (quiet) Damage() error { return nil }

// TestWhatStandsInTheWayOfBeginningAnew: groups with two members, and groups of which a damaged node is the only member, if they
// are damaged. What it alone has and is whole goes to others first, and is waited for.
func TestWhatStandsInTheWayOfBeginningAnew(t *testing.T) {
	three, lone, elsewhere := Placement{Members: []uint64{1, 2, 3}}, Placement{Members: []uint64{1}}, Placement{Members: []uint64{2}}
	for _, c := range []struct {
		what    string
		groups  map[uint64]Placement
		damaged uint64
		spared  bool
		begins  bool
	}{
		{"others have everything", map[uint64]Placement{1: three, 2: three, 3: {Members: []uint64{2, 3}}}, 1, false, true},
		{"two have one", map[uint64]Placement{1: three, 2: {Members: []uint64{1, 2}}}, 1, false, false},
		{"nobody else has what is damaged", map[uint64]Placement{1: lone, 2: three}, 1, false, false},
		{"nobody else has what is whole", map[uint64]Placement{1: three, 2: lone}, 1, true, false},
		{"it has not left yet", map[uint64]Placement{1: three, 2: elsewhere}, 1, true, false},
	} {
		g := &groups{node: 1, damaged: map[uint64]error{c.damaged: errors.New("unreadable")}, renewal: newRenewal()}
		g.open.Store(&map[uint64]*group.Group{})
		if err := g.openOne(2, quiet{}, nil); err != nil {
			t.Fatal(err)
		}
		spared := false
		g.giveUp(&Cluster{
			Stuck: func() error { return errors.New("it stays") }, Anew: func(error) { t.Errorf("%s: it begins anew before all is given up", c.what) },
			Spare: func() { spared = true },
		}, newLayout(c.groups))
		if spared != c.spared || (g.givesUp != nil) != c.begins {
			t.Errorf("%s: it is spared: %v, it gives up its groups: %v", c.what, spared, g.givesUp)
		}
	}
}
