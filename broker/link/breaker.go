package link

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/dispatch"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/store/oplog"
)

// DefaultPatience is how long a group may have no leader until what is new is refused, if nobody says.
const DefaultPatience = 10 * time.Second

// breaker refuses what is new for a group that has had no leader for too long. It is known when there is one, so nothing is
// tried and counted: the search for a leader starts the clock, the attachment stops it. owner: the route
type breaker struct {
	open   bool
	stop   func() bool // the clock; nil: it stands
	clocks uint64      // how many there were: one that is stopped late must not count
	told   bool        // a message that nobody waits for was dropped, and the log says so
	since  Tally       // the count when it opened
	Tally
}

// Tally is what was refused on the way to a group.
type Tally struct {
	Leaderless uint64 // messages, for want of a leader
	Full       uint64 // messages, because too many bytes waited
	Requests   uint64 // consumers, gets and the like
}

// Standing is how the way to a group is.
type Standing struct {
	Group   uint64
	Refuses bool // what is new: the group has had no leader for too long
	Waiting int  // octets of batches that are not applied
	Tally
}

// Standings gives how the ways to the groups are that sessions of this node use.
func (l *Links) Standings() (list []Standing) {
	for _, r := range l.all() {
		r.mu.Lock()
		list = append(list, Standing{Group: r.group, Refuses: r.breaker.open, Waiting: r.backlog.bytes, Tally: r.breaker.Tally})
		r.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Standing) int {
		if a.Group < b.Group {
			return -1
		}
		return 1
	})
	return list
}

// refuses tells whether a group has had no leader for too long.
func (l *Links) refuses(id uint64) bool {
	r := l.known(id)
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.breaker.open
}

// watch starts the clock, if it stands.
func (r *route) watch() {
	b := &r.breaker
	if b.open || b.stop != nil {
		return
	}
	b.clocks++
	clock := b.clocks
	b.stop = r.links.After(r.links.Patience, func() { r.giveUp(clock) })
}

// unwatch stops the clock and closes the breaker, if it is open.
func (r *route) unwatch(why string) {
	b := &r.breaker
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
	b.clocks++
	b.told = false
	if !b.open {
		return
	}
	b.open = false
	r.backlog.cast(false)
	r.links.Logger.Info().Uint64("group", r.group).Uint64("refused_messages", b.Leaderless-b.since.Leaderless).
		Uint64("refused_requests", b.Requests-b.since.Requests).Msg("what is new for the queues of the group is taken again: " + why)
}

// giveUp opens the breaker: there has been no leader for too long. What was accepted stays; sessions need not wait for it.
func (r *route) giveUp(clock uint64) {
	r.mu.Lock()
	b := &r.breaker
	if b.clocks != clock || b.open || r.ready || r.closed || r.dead {
		r.mu.Unlock()
		return
	}
	b.stop, b.open, b.told, b.since = nil, true, false, b.Tally
	r.backlog.cast(true)
	said := map[queue.SessionKey][]group.Event{}
	for key, c := range r.callers {
		events := c.refuseRequests(r.group, &b.Tally)
		events = append(events, c.letLeave(r.group)...)
		said[key] = append(events, group.Event{Effect: queue.Effect{Kind: queue.Adrift, To: key}, Group: r.group})
	}
	r.mu.Unlock()
	r.links.Logger.Error().Uint64("group", r.group).Str("start_nodes", r.members()).Dur("after", r.links.Patience).
		Msg("the group has no leader: what is new for its queues is refused until most of the nodes that hold it are back")
	for key, events := range said {
		r.links.Inboxes.Post(key, events)
	}
}

// members names the nodes that hold the group.
func (r *route) members() string {
	words := []string{}
	for _, node := range r.links.Members(r.group) {
		words = append(words, fmt.Sprint(node))
	}
	return strings.Join(words, ", ")
}

// mayTake tells what of a batch is not refused: everything, or not its messages, or nothing new at all.
func (r *route) mayTake(key queue.SessionKey) (messages, requests bool) {
	switch {
	case r.dead: // which is answered for
		return true, true
	case r.breaker.open:
		return false, false
	case !r.backlog.full():
		return true, true
	}
	return r.ready && key.Node != queue.Forwarders, true // behind a leader, whoever can wait does
}

// turnAway takes out of a batch what is refused, and gives what its session is told. Nothing is left if the error is
// dispatch.ErrRefused.
func (r *route) turnAway(key queue.SessionKey, batch *oplog.Batch) (said []group.Event, err error) {
	messages, requests := r.mayTake(key)
	if messages && requests {
		return nil, nil
	}
	rest, turned, err := queue.TurnAway(batch.Data, !messages, !requests, func(e queue.Effect) {
		e.To = key
		said = append(said, group.Event{Effect: e, Group: r.group})
	})
	if err != nil {
		return nil, fmt.Errorf("group %d: %w", r.group, err)
	}
	r.count(&turned)
	if key.Node == queue.Forwarders { // who hears the error, and tries again
		said = nil
	}
	if len(rest) > 0 && !requests && r.callers[key] == nil {
		if told, knows := r.farewell(key, rest); !knows {
			said, rest = append(said, told...), nil
		}
	}
	if len(rest) == 0 {
		return said, dispatch.ErrRefused
	}
	batch.Data = rest
	return said, nil
}

// count notes what was refused. The log tells once of messages that are dropped without anybody hearing so.
func (r *route) count(turned *queue.Turned) {
	b := &r.breaker
	b.Requests += turned.Requests
	if b.open {
		b.Leaderless += turned.Messages
	} else {
		b.Full += turned.Messages
	}
	if turned.Silent == 0 || b.told {
		return
	}
	b.told = true
	name := fmt.Sprint("queue ", turned.Queue)
	if r.links.Describe != nil {
		name = r.links.Describe(turned.Queue)
	}
	r.links.Logger.Warn().Uint64("group", r.group).Str("for", name).Bool("leaderless", b.open).
		Msg("messages that are published without confirms are dropped: their group takes nothing at the moment")
}

// farewell answers a session that ends, unless the group knows something of it: if nothing of it was ever accepted, it does not.
func (r *route) farewell(key queue.SessionKey, data []byte) (said []group.Event, knows bool) {
	_ = queue.Commands(data, func(command queue.Command) { // which TurnAway has read
		if down, is := command.(*queue.Down); is {
			knows = knows || r.among(down, func(*caller) bool { return true })
		}
		if request := queue.RequestOf(command); request != 0 {
			said = append(said, group.Event{Effect: queue.Effect{Kind: queue.Answer, To: key, Request: request}, Group: r.group})
		}
	})
	return said, knows
}
