package broker

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/link"
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
		var said bytes.Buffer
		g.start.logger = zerolog.New(&said)
		cluster := &Cluster{
			Stuck: func() error { return errors.New("it stays") }, Anew: func(error) { t.Errorf("%s: it begins anew before all is given up", c.what) },
			Spare: func() { spared = true },
		}
		g.giveUp(cluster, newLayout(c.groups))
		g.giveUp(cluster, newLayout(c.groups))
		if times := strings.Count(said.String(), "cannot be rid of its damage"); (times == 1) == (c.spared || c.begins) || times > 1 {
			t.Errorf("%s: why it does not begin anew is said %d times", c.what, times)
		}
		if spared != c.spared || (g.givesUp != nil) != c.begins {
			t.Errorf("%s: it is spared: %v, it gives up its groups: %v", c.what, spared, g.givesUp)
		}
	}
}

// Close implements oplog.Log: as that of a cluster, it does not say that the group is led no more.
func (quiet) Close() error { return nil }

// TestAGroupThatIsClosedIsNotLed here, though it was when it was closed: else this node would ask itself for ever.
func TestAGroupThatIsClosedIsNotLed(t *testing.T) {
	g := &groups{node: 1, damaged: map[uint64]error{}, renewal: newRenewal()}
	g.open.Store(&map[uint64]*group.Group{})
	g.start.inboxes = group.NewInboxes(1)
	ended := false
	g.links = link.New(link.Env{
		Node: 1, Inboxes: g.start.inboxes, Local: g.at, Nodes: func() []uint64 { return nil }, Logger: zerolog.Nop(),
		Leads: func(_ *group.Group, leading bool) { ended = !leading },
	})
	if err := g.openOne(7, quiet{}, nil); err != nil {
		t.Fatal(err)
	}
	g.links.Leads(g.at(7), true) // as the group says when it begins to lead
	if !g.links.Leading(7) {
		t.Fatal("it is not led to begin with")
	}
	if err := g.leave(7); err != nil || g.links.Leading(7) || !ended {
		t.Errorf("%v; still led here: %v; what is done where it is led has ended: %v", err, g.links.Leading(7), ended)
	}
}
