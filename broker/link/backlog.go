package link

import (
	"sync/atomic"

	"github.com/warrenmq/warren/broker/dispatch"
)

// DefaultBacklog is how many octets wait for one group on a node at most, if nobody says.
const DefaultBacklog = 64 << 20

// pendingCost is what a batch counts for beside its octets: it is what keeps batches of next to nothing from being many.
const pendingCost = 256

// backlog is what waits on this node for a group, or is under way to it. Half of what may wait is shared by the sessions that
// have something there: who has used up its share waits before it reads on, and while the half is used up everybody does. The
// other half is for what goes beyond: the last batch of each, and those who cannot wait. Behind that there is nothing: while no
// leader takes it, more is refused.
// owner: the route, but for share
type backlog struct {
	limit   int
	bytes   int
	callers int  // that have something here
	adrift  bool // nobody is to wait
	share   atomic.Int64
}

func (l *backlog) init(limit int) {
	l.limit = limit
	l.divide()
}

func (l *backlog) divide() {
	share := min(dispatch.Window, l.limit/2/max(l.callers, 1))
	switch {
	case l.adrift:
		share = dispatch.Unbounded
	case l.bytes > l.limit/2:
		share = 0
	}
	l.share.Store(int64(share))
}

// cast lets nobody wait for what is here, or has them wait again.
func (l *backlog) cast(adrift bool) {
	l.adrift = adrift
	l.divide()
}

func (l *backlog) full() bool { return l.bytes >= l.limit }

// note adds to what a caller has here, or takes from it.
func (l *backlog) note(of *caller, bytes int) {
	before := of.waiting > 0
	of.waiting += bytes
	l.bytes += bytes
	switch after := of.waiting > 0; {
	case after && !before:
		l.callers++
	case before && !after:
		l.callers--
	}
	l.divide()
}
