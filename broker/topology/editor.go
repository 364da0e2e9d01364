package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// Actor is who asks for a change. It is asked about permissions at the point where RabbitMQ checks them.
type Actor interface {
	Name() string
	// Authorize refuses what the actor may not do with a resource: kind is "queue" or "exchange".
	Authorize(c *Catalog, vhost string, o Operation, kind, name string) *protocol.Error
	// AuthorizeTopic refuses a routing key that the actor may not use with a topic exchange.
	AuthorizeTopic(c *Catalog, vhost string, o Operation, exchange, routingKey string) *protocol.Error
}

// Unlimited is an Actor without limits, by its name.
type Unlimited string

// Name implements Actor.
func (u Unlimited) Name() string { return string(u) }

// Authorize implements Actor.
func (Unlimited) Authorize(*Catalog, string, Operation, string, string) *protocol.Error { return nil }

// AuthorizeTopic implements Actor.
func (Unlimited) AuthorizeTopic(*Catalog, string, Operation, string, string) *protocol.Error {
	return nil
}

// Options are what an Editor needs to know of its node.
type Options struct {
	Node uint64
	// Place chooses the group of a new queue; 0: there is none for it yet, and Prepare waits until there is.
	Place func(c *Catalog, q *Queue) uint64
	// Prepare has groups made for queues that are to lie on so many nodes, as Queue.Copies says, and waits for the first. nil:
	// there is always a group.
	Prepare func(ctx context.Context, copies int64) error
	// DefaultQueueType is the type of a queue that does not say; "" is classic.
	DefaultQueueType string
	// ConsumerTimeoutMs is how long a consumer of a quorum queue may take to acknowledge if neither queue nor policy says:
	// 0 is ConsumerTimeoutDefault, below 0 there is no bound.
	ConsumerTimeoutMs int64
	QueueLimit        int64 // queues in all vhosts; 0: no limit
	ExchangeLimit     int64 // exchanges in all vhosts; 0: no limit
	// Changed is told of every change that this Editor has made: who asked, the Catalog it was planned on, and what to ask for
	// what it has brought about. It must not wait; nil if nobody wants to know.
	Changed func(by string, before *Catalog, done func() []Deed)
	// Newcomers are the users that new vhosts bring with them.
	Newcomers []Newcomer
	// VHostLimits and VHostPolicies are what else new vhosts begin with.
	VHostLimits   []VHostLimits
	VHostPolicies []VHostPolicy
	// Shared: other nodes have the same metadata. An exchange is then of no node, and does not go with this one.
	Shared bool
	// Forbidden are the deprecated features that are not permitted, by name.
	Forbidden map[string]bool
}

// Editor changes the metadata, and shows the newest Catalog. It is safe for concurrent use.
type Editor struct {
	Options
	store   meta.Store
	current atomic.Pointer[Catalog]
	turn    chan struct{} // holds a token while a change is planned and committed
	debts   debts

	mu        sync.Mutex // guards what follows
	listeners []func(Change)
	arrived   chan struct{} // closed when current changes
	broken    error
	commits   commits
}

// Open loads the metadata and follows it.
func Open(ctx context.Context, store meta.Store, o Options) (*Editor, error) {
	if o.ConsumerTimeoutMs == 0 {
		o.ConsumerTimeoutMs = ConsumerTimeoutDefault
	}
	e := &Editor{Options: o, store: store, arrived: make(chan struct{}), turn: make(chan struct{}, 1), debts: newDebts()}
	empty := NewCatalog()
	empty.consumerTimeoutMs = max(o.ConsumerTimeoutMs, queue.None)
	e.current.Store(empty)
	loaded := make(chan struct{})
	pairs, revision, err := store.Load(ctx, func(event meta.Event) {
		<-loaded
		e.follow(event)
	})
	if err != nil {
		close(loaded)
		return nil, fmt.Errorf("loading the metadata: %w", err)
	}
	change, err := build(empty, meta.Event{Revision: revision, Changes: pairs}, o.Node)
	if err == nil {
		e.current.Store(change.Catalog)
	}
	close(loaded)
	return e, err
}

// Catalog gives the newest picture.
func (e *Editor) Catalog() *Catalog { return e.current.Load() }

// Listen adds a listener. It is called with every change, in order, before the change's author goes on; it must not call
// the Editor.
func (e *Editor) Listen(listener func(Change)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners = append(e.listeners, listener)
}

func (e *Editor) follow(event meta.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change, err := build(e.Catalog(), event, e.Node)
	if err != nil {
		e.broken = err
		return
	}
	e.current.Store(change.Catalog)
	close(e.arrived)
	e.arrived = make(chan struct{})
	for _, listener := range e.listeners {
		listener(change)
	}
}

// editTime bounds a change while the metadata store does not answer.
const editTime = 5 * time.Second

// edit commits what plan makes of the newest Catalog, again if that was overtaken. A plan without ops changes nothing.
// durable, if it is not nil, is called once the state that edit saw or made survives a crash.
func (e *Editor) edit(ctx context.Context, durable func(error), plan func(*Catalog) (meta.Txn, error)) error {
	ctx, cancel := context.WithTimeout(ctx, editTime)
	defer cancel()
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	defer func() { <-e.turn }()
	for {
		c := e.Catalog()
		txn, err := plan(c)
		if err != nil {
			return err
		}
		if len(txn.Ops) == 0 {
			e.commits.settled(durable)
			return nil
		}
		ticket := e.commits.begin()
		again, err := e.commit(ctx, c, txn, func(err error) {
			if durable != nil {
				durable(err)
			}
			e.commits.end(ticket, err)
		})
		if err != nil || again {
			e.commits.end(ticket, nil) // nothing was changed
		}
		switch {
		case err != nil:
			return unavailable(err)
		case !again:
			if e.Changed != nil {
				e.Changed(by(ctx), c, func() []Deed { return deeds(c, txn.Ops) })
			}
			return e.failure()
		}
	}
}

func (e *Editor) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}

// unavailable is what a client hears when the metadata store cannot take a change.
func unavailable(err error) error {
	return &protocol.Error{Code: protocol.CodeInternalError, Text: "the metadata store cannot take changes: " + err.Error()}
}

// waitBeyond waits until the Catalog is newer than revision.
func (e *Editor) waitBeyond(ctx context.Context, revision int64) error {
	for {
		e.mu.Lock()
		arrived := e.arrived
		e.mu.Unlock()
		if e.Catalog().Revision > revision {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put is an op that writes a record.
func put(key string, record any, ephemeral bool) meta.Op {
	value, err := json.Marshal(record)
	if err != nil {
		bug("a record cannot be written: %v", err)
	}
	return meta.Op{Key: key, Value: value, Ephemeral: ephemeral}
}

func drop(key string) meta.Op { return meta.Op{Key: key, Delete: true} }

func bug(format string, values ...any) { panic("topology: " + fmt.Sprintf(format, values...)) }

// Settled waits until every change that was made so far survives a crash.
func (e *Editor) Settled(ctx context.Context) error {
	done := make(chan error, 1)
	e.commits.settled(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
