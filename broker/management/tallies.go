package management

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/topology"
)

// countChunk is how many queues a group is asked about at a time: for no longer do messages wait.
const countChunk = 2000

// countAnew is how many queues are counted anew for every page. Where there are more, an order by a counter is made of what
// the sampler has last seen, as RabbitMQ does: a page then waits for no group, and a group counts once in five seconds
// however many pages are asked for.
const countAnew = 1000

// tallies is counters of all queues, kept as long as somebody asks for them. It is safe for concurrent use. There are no
// more than queues have counters.
type tallies struct {
	mu   sync.Mutex // guards what follows
	kept map[string]*tally
}

// tally is one counter of all queues.
type tally struct {
	ready   chan struct{} // closed once there are numbers
	name    string
	count   counter
	numbers map[uint64]float64 // by queue; what is not in it is 0
	used    bool               // since the sampler's last round
}

// find gives a counter by its name; ours tells that it is new, and for the caller to fill.
func (c *tallies) find(name string, count counter) (t *tally, ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = c.kept[name]
	if t == nil {
		t, ours = &tally{ready: make(chan struct{}), name: name, count: count}, true
		if c.kept == nil {
			c.kept = map[string]*tally{}
		}
		c.kept[name] = t
	}
	t.used = true
	return t, ours
}

// fill gives the numbers to those who wait for them. What is not whole is not kept.
func (c *tallies) fill(name string, t *tally, numbers map[uint64]float64, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.numbers = numbers
	if !whole && c.kept[name] == t {
		delete(c.kept, name)
	}
	close(t.ready)
}

// read gives the numbers of what has been filled.
func (c *tallies) read(t *tally) map[uint64]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.numbers
}

// wanted gives what has been used since the last round, and forgets the rest.
func (c *tallies) wanted() (list []*tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, t := range c.kept {
		switch {
		case t.numbers == nil: // it is being filled
		case t.used:
			t.used = false
			list = append(list, t)
		default:
			delete(c.kept, name)
		}
	}
	return list
}

// counterColumn gives a counter of queues. A queue that nothing is known of counts nothing.
func (s *Server) counterColumn(ctx context.Context, queues []*topology.Queue, name string, count counter) column {
	c := column{numbers: make([]float64, len(queues))}
	var numbers map[uint64]float64
	if len(queues) <= countAnew {
		numbers, _ = s.count(ctx, queues, name, count, false)
	} else {
		numbers = s.countOnce(ctx, name, count)
	}
	for i, q := range queues {
		c.numbers[i] = numbers[q.ID]
	}
	return c
}

// countOnce gives a counter of all queues: what is kept, or else what the groups say. Who asks for it meanwhile waits.
func (s *Server) countOnce(ctx context.Context, name string, count counter) map[uint64]float64 {
	t, ours := s.tallies.find(name, count)
	if ours {
		numbers, whole := s.count(ctx, s.allQueues(), name, count, true)
		s.tallies.fill(name, t, numbers, whole)
	}
	select {
	case <-t.ready:
		return s.tallies.read(t)
	case <-ctx.Done():
		return nil
	}
}

// recount counts anew what somebody has asked for since the last round.
func (s *Server) recount(ctx context.Context) {
	for _, t := range s.tallies.wanted() {
		if numbers, whole := s.count(ctx, s.allQueues(), t.name, t.count, true); whole {
			s.tallies.mu.Lock()
			t.numbers = numbers
			s.tallies.mu.Unlock()
		}
	}
}

// countLocal lets the groups that are led here count. What is 0 is left out; whole is false if a group did not answer.
func (s *Server) countLocal(ctx context.Context, queues []*topology.Queue, count counter) (numbers map[uint64]float64, whole bool) {
	numbers = map[uint64]float64{}
	look := func(set *queue.Set, part []*topology.Queue) map[uint64]float64 { return countIn(set, part, count) }
	whole = askParts(ctx, s, queues, look, func(some map[uint64]float64) { maps.Copy(numbers, some) })
	return numbers, whole
}

// askParts lets the groups look at queues, all groups at once, some queues at a time; take gets what they say, one after the
// other. It tells whether all have answered.
func askParts[T any](ctx context.Context, s *Server, queues []*topology.Queue, look func(*queue.Set, []*topology.Queue) T, take func(T)) bool {
	ofGroup := map[uint64][]*topology.Queue{}
	for _, q := range queues {
		ofGroup[q.Group] = append(ofGroup[q.Group], q)
	}
	var mu sync.Mutex // of take, and
	whole := true
	var asking errands
	for _, g := range s.Groups() {
		asking.Go(func() {
			for part := range slices.Chunk(ofGroup[g.ID], countChunk) {
				some, err := ask(ctx, g, func(set *queue.Set) T { return look(set, part) })
				if !taken(&mu, &whole, err, func() { take(some) }) {
					return
				}
			}
		})
	}
	asking.Wait()
	return whole
}

// taken takes an answer, or notes that there is none.
func taken(mu *sync.Mutex, whole *bool, err error, take func()) bool {
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		*whole = false
		return false
	}
	take()
	return true
}

// countIn gives a counter of the queues of a machine, but for what is 0.
func countIn(set *queue.Set, queues []*topology.Queue, count counter) map[uint64]float64 {
	numbers := map[uint64]float64{}
	for _, q := range queues {
		if info, ok := set.Info(queue.ID(q.ID)); ok {
			if n, _ := number(count(q, &info)); n != 0 {
				numbers[q.ID] = n
			}
		}
	}
	return numbers
}

// queueLists is the queues of some vhosts as a list, as long as they are the same.
type queueLists struct {
	mu     sync.Mutex // guards what follows
	vhosts []*topology.VHost
	queues []*topology.Queue
	names  []string
	used   bool // since the sampler's last round
}

// of gives the queues of vhosts and their names, in order. They are shared: nobody changes them.
func (l *queueLists) of(vhosts []*topology.VHost) (queues []*topology.Queue, names []string) {
	l.mu.Lock()
	queues, names = l.queues, l.names
	same := slices.Equal(l.vhosts, vhosts)
	l.used = l.used || same
	l.mu.Unlock()
	if same {
		return queues, names
	}
	queues = queuesIn(vhosts)
	names = make([]string, len(queues))
	for i, q := range queues {
		names[i] = q.Name
	}
	l.mu.Lock()
	l.vhosts, l.queues, l.names, l.used = vhosts, queues, names, true
	l.mu.Unlock()
	return queues, names
}

// forget drops a list that nobody has used since it was called last.
func (l *queueLists) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.used {
		l.vhosts, l.queues, l.names = nil, nil, nil
	}
	l.used = false
}

// allQueues gives the queues of all vhosts.
func (s *Server) allQueues() []*topology.Queue {
	var vhosts []*topology.VHost
	s.Editor.Catalog().VHosts(func(v *topology.VHost) bool { vhosts = append(vhosts, v); return true })
	queues, _ := s.queueLists.of(vhosts)
	return queues
}
