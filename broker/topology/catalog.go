// Package topology owns the metadata: vhosts, users, permissions, exchanges, queues, bindings, policies, limits.
//
// It shows it as a Catalog, which never changes, and changes it through the Editor, which is the only writer for AMQP and
// HTTP alike. It never touches messages.
//
//  1. Open loads the metadata into the first Catalog and follows the store's watch from there.
//  2. A method of Editor validates a wish against the newest Catalog and gives the store one guarded transaction, or
//     returns a *protocol.Error in RabbitMQ's words.
//  3. The watch builds the next Catalog by copying along the path of the change, swaps the pointer and tells the
//     listeners what changed; only then does the method return.
package topology

import (
	"strings"

	"github.com/benbjohnson/immutable"

	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/protocol"
)

// Catalog is all metadata at one revision. It is immutable, as is everything that can be reached from it.
type Catalog struct {
	Revision int64 // everything up to here is in it
	Newest   int64 // of the newest pair in it, which may be older
	vhosts   *immutable.SortedMap[string, *VHost]
	users    *immutable.SortedMap[string, *User]
	globals  *immutable.SortedMap[string, *Parameter]
	byID     *immutable.Map[uint64, *Queue]
	remnants *immutable.SortedMap[string, int64] // keys of what is left of what is gone, see remnants.go, and their revisions

	consumerTimeoutMs int64         // of quorum queues that say nothing
	shared            *queue.Config // of the queue that was configured last
}

// VHost is a virtual host and what is in it.
type VHost struct {
	Name     string
	Revision int64
	VHostRecord
	exchanges   *immutable.SortedMap[string, *Exchange]
	queues      *immutable.SortedMap[string, *Queue]
	permissions *immutable.SortedMap[string, *Permission]
	topics      *immutable.SortedMap[string, *TopicPermission] // by user and exchange
	parameters  *immutable.SortedMap[string, *Parameter]       // by component and name
	policies    []*Policy                                      // highest priority first
	operators   []*Policy

	consumerTimeoutMs int64 // as the Catalog's
}

// VHostRecord is what is stored of a vhost.
type VHostRecord struct {
	Description      string           `json:"description,omitempty"`
	Tags             []string         `json:"tags,omitempty"`
	DefaultQueueType string           `json:"default_queue_type,omitempty"`
	Tracing          bool             `json:"tracing,omitempty"`
	Protected        bool             `json:"protected,omitempty"`
	Limits           map[string]int64 `json:"limits,omitempty"`
}

// Exchange is an exchange with the bindings it is the source of.
type Exchange struct {
	Name     string
	VHost    string
	Revision int64
	ExchangeRecord
	Table     protocol.Table // Arguments, decoded
	Alternate string         // exchange for what no binding takes, from the arguments or else a policy
	Policy    *Policy
	Index     matching.Index
	Memory    *Queue // the hidden queue behind it, if its type has a memory
	kind      matching.Kind
	routing   matching.Kind // whose bindings it has: kind, or what an x-delayed-message exchange says
	outgoing  edges
	incoming  edges
	target    *matching.Target
}

// ExchangeRecord is what is stored of an exchange.
type ExchangeRecord struct {
	Type       string            `json:"type"`
	Durable    bool              `json:"durable,omitempty"`
	AutoDelete bool              `json:"auto_delete,omitempty"`
	Internal   bool              `json:"internal,omitempty"`
	Arguments  protocol.RawTable `json:"arguments,omitempty"`
	User       string            `json:"user,omitempty"`   // who declared it
	Behind     *MemoryRecord     `json:"memory,omitempty"` // if its type has a memory
}

// MemoryRecord is where the queue behind an exchange is.
type MemoryRecord struct {
	ID    uint64 `json:"id"`
	Group uint64 `json:"group"`
}

// Queue is a queue with the bindings that lead to it.
type Queue struct {
	Name     string
	VHost    string
	Revision int64
	QueueRecord
	Table    protocol.Table // Arguments, decoded
	Policy   *Policy
	Operator *Policy
	Config   *queue.Config // arguments and policies merged; queues that are configured alike share it
	Target   *matching.Target
	hidden   bool // behind an exchange
	incoming edges
}

// QueueRecord is what is stored of a queue.
type QueueRecord struct {
	ID         uint64            `json:"id"`
	Type       string            `json:"type"` // classic, quorum, stream
	Durable    bool              `json:"durable,omitempty"`
	AutoDelete bool              `json:"auto_delete,omitempty"`
	Exclusive  bool              `json:"exclusive,omitempty"`
	Owner      Owner             `json:"owner,omitzero"` // of an exclusive queue
	Arguments  protocol.RawTable `json:"arguments,omitempty"`
	Group      uint64            `json:"group"`
	User       string            `json:"user,omitempty"`
}

// Owner is the connection an exclusive queue belongs to.
type Owner struct {
	Node    uint64 `json:"node,omitempty"`
	Session uint64 `json:"session,omitempty"`
}

// Edge is a binding as metadata: what Binding is to an exchange's index.
type Edge struct {
	VHost       string
	Source      string
	ToExchange  bool // the destination is an exchange, else a queue
	Destination string
	Key         string
	Arguments   protocol.RawTable
	Revision    int64
	binding     *matching.Binding
	key         string // in the metadata store
}

// User is somebody who may log in.
type User struct {
	Name     string
	Revision int64
	UserRecord
}

// UserRecord is what is stored of a user.
type UserRecord struct {
	PasswordHash string           `json:"password_hash"`
	Algorithm    string           `json:"hashing_algorithm"`
	Tags         []string         `json:"tags,omitempty"`
	Limits       map[string]int64 `json:"limits,omitempty"`
}

// Permission is what a user may do in a vhost: patterns for names.
type Permission struct {
	User, VHost            string
	Revision               int64
	Configure, Write, Read *Pattern
}

// TopicPermission narrows what routing keys a user may use with a topic exchange.
type TopicPermission struct {
	User, VHost, Exchange string
	Revision              int64
	Write, Read           string // patterns with {username} and {vhost} to be filled in
	write, read           *Pattern
}

// Parameter is a runtime parameter: JSON under a component and a name.
type Parameter struct {
	VHost, Component, Name string
	Revision               int64
	Value                  []byte
}

// edges are bindings, by their keys in the metadata store.
type edges = *immutable.SortedMap[string, *Edge]

var noEdges = immutable.NewSortedMap[string, *Edge](nil)

// NewCatalog is the empty catalog.
func NewCatalog() *Catalog {
	return &Catalog{
		consumerTimeoutMs: ConsumerTimeoutDefault,
		vhosts:            immutable.NewSortedMap[string, *VHost](nil),
		users:             immutable.NewSortedMap[string, *User](nil),
		globals:           immutable.NewSortedMap[string, *Parameter](nil),
		byID:              immutable.NewMap[uint64, *Queue](nil),
		remnants:          immutable.NewSortedMap[string, int64](nil),
	}
}

// VHost finds a vhost, nil if there is none of that name. So do the others below.
func (c *Catalog) VHost(name string) *VHost {
	v, _ := c.vhosts.Get(name)
	return v
}

// User finds a user.
func (c *Catalog) User(name string) *User {
	u, _ := c.users.Get(name)
	return u
}

// Global finds a global parameter.
func (c *Catalog) Global(name string) *Parameter {
	p, _ := c.globals.Get(name)
	return p
}

// Machines visits everything that has a queue machine: the queues, and what is behind exchanges with a memory.
func (c *Catalog) Machines(visit func(*Queue) bool) {
	for it := c.byID.Iterator(); !it.Done(); {
		if _, q, _ := it.Next(); !visit(q) {
			return
		}
	}
}

// QueueByID finds a queue by the id of its machine.
func (c *Catalog) QueueByID(id uint64) *Queue {
	q, _ := c.byID.Get(id)
	return q
}

// Exchange finds an exchange.
func (v *VHost) Exchange(name string) *Exchange {
	x, _ := v.exchanges.Get(name)
	return x
}

// Queue finds a queue.
func (v *VHost) Queue(name string) *Queue {
	q, _ := v.queues.Get(name)
	return q
}

// Permission finds what a user may do.
func (v *VHost) Permission(user string) *Permission {
	p, _ := v.permissions.Get(user)
	return p
}

// TopicPermission finds what routing keys a user may use with an exchange.
func (v *VHost) TopicPermission(user, exchange string) *TopicPermission {
	p, _ := v.topics.Get(pair(user, exchange))
	return p
}

// Parameter finds a runtime parameter.
func (v *VHost) Parameter(component, name string) *Parameter {
	p, _ := v.parameters.Get(pair(component, name))
	return p
}

// pair is a key of two names, ordered by the first and then by the second. Two NUL end the first, a NUL in it is marked.
func pair(a, b string) string { return strings.ReplaceAll(a, "\x00", "\x00\xff") + "\x00\x00" + b }

// each visits the values of a sorted map in order.
func each[T any](m *immutable.SortedMap[string, T], visit func(T) bool) {
	for it := m.Iterator(); !it.Done(); {
		if _, value, _ := it.Next(); !visit(value) {
			return
		}
	}
}

// VHosts visits all vhosts, ordered by name. So do the others below, with their objects.
func (c *Catalog) VHosts(visit func(*VHost) bool) { each(c.vhosts, visit) }

// Users visits all users.
func (c *Catalog) Users(visit func(*User) bool) { each(c.users, visit) }

// Globals visits all global parameters.
func (c *Catalog) Globals(visit func(*Parameter) bool) { each(c.globals, visit) }

// Exchanges visits the exchanges of the vhost.
func (v *VHost) Exchanges(visit func(*Exchange) bool) { each(v.exchanges, visit) }

// Queues visits the queues of the vhost.
func (v *VHost) Queues(visit func(*Queue) bool) { each(v.queues, visit) }

// Permissions visits the permissions in the vhost.
func (v *VHost) Permissions(visit func(*Permission) bool) { each(v.permissions, visit) }

// TopicPermissions visits the topic permissions in the vhost.
func (v *VHost) TopicPermissions(visit func(*TopicPermission) bool) { each(v.topics, visit) }

// Parameters visits the runtime parameters of the vhost.
func (v *VHost) Parameters(visit func(*Parameter) bool) { each(v.parameters, visit) }

// Policies gives the policies of the vhost, highest priority first; operator policies likewise.
func (v *VHost) Policies() []*Policy { return v.policies }

// OperatorPolicies gives the operator policies of the vhost.
func (v *VHost) OperatorPolicies() []*Policy { return v.operators }

// QueueCount is the number of queues in the vhost.
func (v *VHost) QueueCount() int { return v.queues.Len() }

// ExchangeCount is the number of exchanges in the vhost.
func (v *VHost) ExchangeCount() int { return v.exchanges.Len() }

// Outgoing visits the bindings that begin here.
func (x *Exchange) Outgoing(visit func(*Edge) bool) { each(x.outgoing, visit) }

// Incoming visits the bindings that lead here.
func (x *Exchange) Incoming(visit func(*Edge) bool) { each(x.incoming, visit) }

// Incoming visits the bindings that lead here.
func (q *Queue) Incoming(visit func(*Edge) bool) { each(q.incoming, visit) }

// Lasting tells whether the queue survives its node's restart.
func (q *Queue) Lasting() bool { return q.Durable && !q.Exclusive }

// Limit gives a limit of the vhost; ok is false if there is none.
func (v *VHost) Limit(name string) (limit int64, ok bool) { return positive(v.Limits, name) }

// Limit gives a limit of the user; ok is false if there is none.
func (u *User) Limit(name string) (limit int64, ok bool) { return positive(u.Limits, name) }

func positive(limits map[string]int64, name string) (int64, bool) {
	n, ok := limits[name]
	return n, ok && n >= 0
}

// HasTag tells whether the user has one of the tags.
func (u *User) HasTag(tags ...string) bool {
	for _, have := range u.Tags {
		for _, want := range tags {
			if have == want {
				return true
			}
		}
	}
	return false
}
