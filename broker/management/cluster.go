package management

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/broker/logs"
)

// Cluster is the nodes, as the API needs them. It carries bytes and knows nothing of what they say.
type Cluster struct {
	Self uint64
	// Nodes gives the nodes that belong to the cluster, this one too, by name.
	Nodes func() []Node
	// Ask asks another node, whose Server.Answer answers.
	Ask func(ctx context.Context, node uint64, question []byte) ([]byte, error)
	// Leader gives the node that most likely leads a group, 0 if nobody knows; Members those that hold it.
	Leader  func(group uint64) uint64
	Members func(group uint64) []uint64
	// Groups gives how the groups stand that have a member here; Wanted what each group is to be.
	Groups func() []GroupMember
	Wanted func() map[uint64]GroupWish
	// Refused gives the groups for which this node refuses what is new: they have had no leader for too long.
	Refused func() []uint64
	// Reach gives the error with which the cluster's metadata cannot be reached, nil if it can.
	Reach func(context.Context) error
	// Expiry is when the certificate for other nodes ends; zero if there is none.
	Expiry func() time.Time
	// Forget takes a node that does not live out of the cluster for good.
	Forget func(ctx context.Context, node uint64) error
	// Drain notes that this node is to be spared, or no longer, and carries it out.
	Drain func(ctx context.Context, on bool) error
	// Transfer makes another member the leader of a group, for good.
	Transfer func(ctx context.Context, group, to uint64) error
	// Renew lets a group begin anew without those that are lost: with what the survivor has, or, if that is 0, with nothing.
	Renew func(ctx context.Context, group, survivor uint64, lost []uint64) error
	// Rebalance gives the groups that are led here to those that should lead them, and tells how many.
	Rebalance func() int
}

// Node is a node of the cluster.
type Node struct {
	ID            uint64
	Name, Address string
	Zone          string
	Alive         bool
	Drained       bool   // it is to lead nothing, and to have no clients
	Holds         bool   // it holds groups
	Protocol      uint64 // that it speaks with other nodes
}

// Alone is a cluster of one node.
func Alone(name string, self uint64) *Cluster {
	return &Cluster{
		Self: self, Nodes: func() []Node { return []Node{{ID: self, Name: name, Alive: true, Holds: true}} },
		Ask:    func(context.Context, uint64, []byte) ([]byte, error) { return nil, errNoAnswer },
		Leader: func(uint64) uint64 { return self }, Members: func(uint64) []uint64 { return []uint64{self} },
	}
}

// single tells that there are no other nodes, and never are.
func (c *Cluster) single() bool { return c.Wanted == nil }

// Bounds on what nodes ask each other.
const (
	nodeTime  = 3 * time.Second // how long a node has for an answer
	restTime  = 5 * time.Second // for how long one that did not answer is not asked: no list waits for it twice
	answerMax = 64 << 20        // how long an answer may be. Bytes
)

// peers is which nodes are not asked for a while. It is safe for concurrent use.
type peers struct {
	mu    sync.Mutex // guards what follows
	until map[uint64]time.Time
}

func (p *peers) rests(node uint64, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.until[node])
}

func (p *peers) silent(node uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[uint64]time.Time{}
	}
	p.until[node] = now.Add(restTime)
}

// question is something that a node asks others: what it sends (A) and what comes back (R) are JSON on the way.
type question[A, R any] struct {
	name   string
	answer func(*Server, context.Context, A) (R, error)
	time   time.Duration // how long a node has for an answer. Default nodeTime
}

// answerer is a question as the one who is asked sees it.
type answerer func(*Server, context.Context, json.RawMessage) (any, error)

func (q question[A, R]) answerer() (string, answerer) {
	return q.name, func(s *Server, ctx context.Context, raw json.RawMessage) (any, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, err
		}
		return q.answer(s, ctx, args)
	}
}

// envelope is a question on its way.
type envelope struct {
	Ask  string          `json:"ask"`
	Args json.RawMessage `json:"args"`
}

// answerers are all questions, by name.
var answerers = map[string]answerer{}

func register[A, R any](q question[A, R]) {
	name, f := q.answerer()
	answerers[name] = f
}

// Answer answers what the API of another node asks. ok is false if it cannot be answered.
func (s *Server) Answer(ctx context.Context, asked []byte) (said []byte, ok bool) {
	var e envelope
	if err := json.Unmarshal(asked, &e); err != nil {
		s.Logger.Error().Err(err).Msg("a question of another node cannot be read")
		return nil, false
	}
	f := answerers[e.Ask]
	if f == nil {
		s.Logger.Warn().Str("question", e.Ask).Msg("another node asks what this one does not know")
		return nil, false
	}
	var err error
	bug := logs.Catch(func() {
		var value any
		if value, err = f(s, ctx, e.Args); err == nil {
			said, err = json.Marshal(value)
		}
	})
	if bug != nil {
		s.Logger.Error().Stringer("bug", bug).Str("question", e.Ask).Bytes("stack", bug.Stack).Msg("a question of another node was ended by a bug")
		return nil, false
	}
	if err == nil && len(said) > answerMax {
		err = fmt.Errorf("an answer of %d bytes is too long", len(said))
	}
	if err != nil {
		s.Logger.Warn().Err(err).Str("question", e.Ask).Msg("a question of another node is not answered")
		return nil, false
	}
	return said, true
}

// of asks one other node. An error means that it has not answered.
func (q question[A, R]) of(ctx context.Context, s *Server, node uint64, args A) (said R, err error) {
	if s.peers.rests(node, time.Now()) {
		return said, errNoAnswer
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return said, err
	}
	asked, err := json.Marshal(envelope{q.name, raw})
	if err != nil {
		return said, err
	}
	bounded, cancel := context.WithTimeout(ctx, cmp.Or(q.time, nodeTime))
	defer cancel()
	data, err := s.Nodes.Ask(bounded, node, asked)
	if err != nil {
		if bounded.Err() != nil && ctx.Err() == nil { // who asked is still there
			s.peers.silent(node, time.Now())
		}
		s.Logger.Debug().Err(err).Uint64("node", node).Str("question", q.name).Msg("a node does not answer")
		return said, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return said, d.Decode(&said)
}

// each asks several other nodes at once, and gives what those say that answer in time.
func (q question[A, R]) each(ctx context.Context, s *Server, asked map[uint64]A) map[uint64]R {
	all := make(map[uint64]R, len(asked))
	var mu sync.Mutex // of all
	var asking errands
	for node, args := range asked {
		asking.Go(func() {
			said, err := q.of(ctx, s, node, args)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[node] = said
		})
	}
	asking.Wait()
	return all
}

// everywhere asks all other nodes that live. The answers come in the order of the nodes.
func (q question[A, R]) everywhere(ctx context.Context, s *Server, args A) []R {
	asked := map[uint64]A{}
	for _, node := range s.others() {
		asked[node] = args
	}
	said := q.each(ctx, s, asked)
	list := make([]R, 0, len(said))
	for _, node := range slices.Sorted(maps.Keys(said)) {
		list = append(list, said[node])
	}
	return list
}

// others gives the other nodes that live.
func (s *Server) others() (list []uint64) {
	if s.Nodes.single() {
		return nil
	}
	for _, n := range s.Nodes.Nodes() {
		if n.Alive && n.ID != s.Nodes.Self {
			list = append(list, n.ID)
		}
	}
	return list
}

// names gives the names of nodes by their numbers.
func (s *Server) names() func(node uint64) string {
	names := map[uint64]string{}
	for _, n := range s.Nodes.Nodes() {
		names[n.ID] = n.Name
	}
	return func(node uint64) string {
		if name, known := names[node]; known || node == 0 {
			return name
		}
		return fmt.Sprint("node ", node) // it was forgotten
	}
}

// named gives the node of a name.
func (s *Server) named(name string) (Node, bool) {
	for _, n := range s.Nodes.Nodes() {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// member tells whether a node of that name belongs to the cluster.
func (s *Server) member(name string) bool {
	_, is := s.named(name)
	return is
}

// add adds up what several nodes have counted: numbers are added, lists joined; of anything else the first stands.
func add(into, more object) {
	for key, value := range more {
		into[key] = sum(into[key], value)
	}
}

func sum(a, b any) any {
	switch first := a.(type) {
	case nil:
		return b
	case object:
		if second, ok := b.(object); ok {
			add(first, second)
		}
		return first
	case []any:
		if second, ok := b.([]any); ok {
			return joined(first, second)
		}
		return first
	case string, bool:
		return first
	}
	x, ok := number(a)
	y, ok2 := number(b)
	if !ok || !ok2 {
		return a
	}
	if _, isRate := a.(float); isRate {
		return float(x + y)
	}
	if n, isJSON := a.(json.Number); isJSON && bytes.ContainsRune([]byte(n), '.') {
		return float(x + y)
	}
	return int64(x + y)
}

// joined puts lists behind each other; samples, which have a time, are added up by it.
func joined(a, b []any) []any {
	at := map[string]object{}
	for _, value := range a {
		if o, ok := value.(object); ok && o["timestamp"] != nil {
			at[fmt.Sprint(o["timestamp"])] = o
		}
	}
	for _, value := range b {
		o, _ := value.(object)
		if same := at[fmt.Sprint(o["timestamp"])]; same != nil && o != nil {
			same["sample"] = sum(same["sample"], o["sample"])
			continue
		}
		a = append(a, value)
	}
	return a
}

// plain makes of an object of any kind one as it would have come from another node, so that both can be added up.
func plain(value any) object {
	data, err := json.Marshal(value)
	if err != nil {
		bug("an object cannot be written: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	o := object{}
	if err := d.Decode(&o); err != nil {
		bug("an object cannot be read: %v", err)
	}
	return o
}
