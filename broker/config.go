package broker

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/broker/audit"
	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/listen"
	"github.com/warrenmq/warren/broker/metrics"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
	"github.com/warrenmq/warren/store/oplog"
)

// Config is everything a Broker can be told. The zero value of a field stands for its default.
type Config struct {
	// Listen is the address for AMQP connections. Default 127.0.0.1:5672; port 0 takes a free one.
	Listen string
	// Listeners are the addresses for AMQP connections with TLS and the PROXY protocol, in place of Listen.
	Listeners []listen.Spec
	// NoClients: there is no address for AMQP connections, whatever Listen and Listeners say.
	NoClients bool
	// Management are the addresses for the HTTP API. Default: none.
	Management []listen.Spec
	// ManagementPrefix stands before all paths of the HTTP API, on these addresses. Default: none.
	ManagementPrefix string
	// Metrics are the addresses for Prometheus. Default: none.
	Metrics []listen.Spec
	// MetricsIfFree lets the broker go on without them if their address is taken: nobody has asked for it.
	MetricsIfFree bool
	// MetricsSettings say what Prometheus gets.
	MetricsSettings metrics.Settings
	// Tracer makes spans of messages that have a traceparent header. Default: there are none.
	Tracer trace.Tracer
	// Storage tells Prometheus what the disk has to do. Default: nothing is told.
	Storage func() metrics.Storage
	// Node is this node's id. Default 1.
	Node uint64
	// NodeName is how the node is called. Default warren@localhost.
	NodeName string
	// ClusterName is shown to clients. Default NodeName.
	ClusterName string

	// Log keeps the messages of durable queues. Default: memory, which forgets them when the broker ends.
	Log oplog.Host
	// Meta keeps the metadata. Default: memory.
	Meta meta.Store
	// Groups is how many groups durable queues are spread over, where there is no Cluster. Default 2.
	Groups int
	// Cluster connects the broker with those of other nodes. Default: it is alone.
	Cluster *Cluster
	// TransientGroups is how many groups the other queues are spread over. Default 2.
	TransientGroups int

	// Session bounds connections. Defaults: frame_max 131072 bytes, channel_max 2047, heartbeat 60 s, messages of at most
	// 16 MiB, 10 s for the handshake.
	Session session.Settings
	// NoHeartbeat suggests to clients that there be none, which Session.Heartbeat 0 does not.
	NoHeartbeat bool
	// MemoryLimit is from how many bytes of resident memory on publishers are blocked. Default 0: no limit.
	MemoryLimit uint64
	// DiskFreeLimit is how many bytes must be free on the disk of DataDir, else publishers are blocked. Default 0: no limit.
	DiskFreeLimit uint64
	// DataDir is where the disk's free space is measured.
	DataDir string

	// MaxConnections is how many connections there may be. Default 0: no limit.
	MaxConnections int

	// TargetNodes is how many nodes the cluster is to have, for a health check. Default 0: any.
	TargetNodes int

	// Defaults is what an empty broker begins with. Default: vhost /, user guest with password guest and full rights.
	Defaults topology.Defaults
	// DefaultPassword is the password of Defaults.User if its record has no hash; the hash is made when it is needed.
	DefaultPassword string
	// Newcomers are users that new vhosts bring with them. Default: none.
	Newcomers []topology.Newcomer
	// VHostLimits and VHostPolicies are limits and operator policies that new vhosts begin with. Default: none.
	VHostLimits   []topology.VHostLimits
	VHostPolicies []topology.VHostPolicy
	// WithoutDefaults leaves an empty broker empty.
	WithoutDefaults bool
	// Definitions are imported at the start, in the form of the HTTP API's /api/definitions. Default: none.
	Definitions []byte
	// LoopbackOnly are the users that may only come from this machine. Default: guest.
	LoopbackOnly []string
	// PasswordHash is how new passwords are kept, by the names of package auth. Default: auth.Default, which is argon2id.
	PasswordHash string
	// LoginLimits bound how often somebody may be wrong. Default: there is no bound.
	LoginLimits auth.Limits
	// Anonymous is the user whom the mechanism ANONYMOUS logs in. Default: guest; "none" switches it off.
	Anonymous string
	// DefaultQueueType is the type of a queue that does not name one. Default classic.
	DefaultQueueType string
	// ConsumerTimeout is how long a consumer of a quorum queue may take to acknowledge if neither queue nor policy says.
	// Default 30 minutes; below 0 there is no bound.
	ConsumerTimeout time.Duration
	// Permit says which of RabbitMQ's deprecated features may be used, by name; what it does not name is as in RabbitMQ.
	Permit map[string]bool

	// OwnVersion is Warren's, for Prometheus. Default: none.
	OwnVersion string
	// LogFiles, ConfigFiles and Settings are shown by the HTTP API; Settings without secrets. Default: none.
	LogFiles, ConfigFiles []string
	Settings              func() map[string]string

	// Logger takes the broker's log. Default: nothing is logged.
	Logger *zerolog.Logger
	// Area gives the logger of an area: connection, channel, queue, user. Default: Logger for all.
	Area func(name string) zerolog.Logger
	// Audit takes what matters for security. Default: nothing is recorded.
	Audit *audit.Log
	// Clock gives milliseconds since the epoch. Default: the machine's clock at the start, and from then on its monotonic
	// clock, so that setting the clock expires nothing.
	Clock func() int64
	// FirstSession is the number of this life's first session, above all of earlier lives with the same Log. Default: made of
	// the clock, which does for a Log that keeps nothing, or a clock that is never set back.
	FirstSession uint64
	// Wrap is given every connection before anybody talks on it, and gives it back, perhaps wrapped, or nil to close it.
	// It is for tests.
	Wrap func(net.Conn) net.Conn
	// Nack is asked for every message that wants a confirm, and makes the answer basic.nack. It is for tests.
	Nack func() bool
	// Delivered is called once: a message of those that were there at the start has been delivered. Default: nobody is told.
	Delivered func()
	// Fatal is called when the broker cannot go on. Default: panic.
	Fatal func(error)
}

// CompatibleVersion is the version of RabbitMQ whose behaviour Warren shows, for clients that look at it.
const CompatibleVersion = "4.3.6"

// Validate fills in defaults and refuses what cannot be.
func (c *Config) Validate() error {
	c.setDefaults()
	for _, l := range slices.Concat(c.Listeners, c.Management, c.Metrics) {
		if _, _, err := net.SplitHostPort(l.Address); err != nil {
			return fmt.Errorf("listen address %q: %w", l.Address, err)
		}
	}
	if !auth.Known(c.PasswordHash) {
		return fmt.Errorf("password hashing algorithm %q is not known", c.PasswordHash)
	}
	if c.Session.FrameMax < protocol.FrameMinSize {
		return fmt.Errorf("frame_max is %d, the least is %d", c.Session.FrameMax, protocol.FrameMinSize)
	}
	if c.Cluster != nil {
		if err := c.Cluster.validate(); err != nil {
			return err
		}
	}
	if c.Groups < 1 || c.TransientGroups < 1 {
		return errors.New("there must be at least one group for durable and one for other queues")
	}
	return nil
}

// setIfZero gives a field its default.
func setIfZero[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) setDefaults() {
	setIfZero(&c.Listen, "127.0.0.1:5672")
	if c.NoClients {
		c.Listeners = nil
	} else if len(c.Listeners) == 0 {
		c.Listeners = []listen.Spec{{Address: c.Listen}}
	}
	setIfZero(&c.Node, 1)
	setIfZero(&c.NodeName, "warren@localhost")
	setIfZero(&c.ClusterName, c.NodeName)
	setIfZero(&c.Groups, 2)
	setIfZero(&c.TransientGroups, 2)
	s := &c.Session
	setIfZero(&s.FrameMax, 131072)
	setIfZero(&s.ChannelMax, 2047)
	if !c.NoHeartbeat {
		setIfZero(&s.Heartbeat, 60)
	}
	setIfZero(&s.MaxMessageSize, 16<<20)
	setIfZero(&s.HandshakeTimeout, 10*time.Second)
	setIfZero(&s.RefusalDelay, 3*time.Second)
	setIfZero(&s.Product, "RabbitMQ")
	setIfZero(&s.Version, CompatibleVersion)
	setIfZero(&s.Platform, "Warren")
	s.ClusterName = c.ClusterName
	if c.LoopbackOnly == nil {
		c.LoopbackOnly = []string{"guest"}
	}
	setIfZero(&c.PasswordHash, auth.Default)
	setIfZero(&c.Anonymous, "guest")
	if c.Anonymous == "none" {
		c.Anonymous = ""
	}
	if c.Logger == nil {
		nothing := zerolog.Nop()
		c.Logger = &nothing
	}
	if c.Clock == nil {
		c.Clock = steadyClock()
	}
	if c.Fatal == nil {
		c.Fatal = func(err error) { bug("%v", err) }
	}
	c.defaultUser()
}

// consumerTimeoutMs is the timeout in milliseconds: 0 is the default, below 0 there is none.
func (c *Config) consumerTimeoutMs() int64 {
	if c.ConsumerTimeout < 0 {
		return -1
	}
	return c.ConsumerTimeout.Milliseconds()
}

// area gives the logger of an area.
func (c *Config) area(name string) zerolog.Logger {
	if c.Area == nil {
		return *c.Logger
	}
	return c.Area(name)
}

// defaultUser is guest, if nobody says who.
func (c *Config) defaultUser() {
	d := &c.Defaults
	setIfZero(&d.VHost, "/")
	if d.User == "" {
		d.User, c.DefaultPassword = "guest", "guest"
		d.Record = topology.UserRecord{Tags: []string{"administrator"}}
	}
	if d.Configure == "" && d.Write == "" && d.Read == "" {
		d.Configure, d.Write, d.Read = ".*", ".*", ".*"
	}
}

// hashDefaultPassword completes the record of the first user. The password guest everybody knows: its hash needs no
// hardening.
func (c *Config) hashDefaultPassword() (err error) {
	r := &c.Defaults.Record
	if r.PasswordHash != "" || c.DefaultPassword == "" {
		return nil
	}
	r.Algorithm = c.PasswordHash
	if c.DefaultPassword == "guest" {
		r.Algorithm = auth.SHA256
	}
	r.PasswordHash, err = auth.Hash(r.Algorithm, c.DefaultPassword)
	return err
}

// steadyClock begins at the machine's time and follows its monotonic clock.
func steadyClock() func() int64 {
	start := time.Now()
	base := start.UnixMilli()
	return func() int64 { return base + time.Since(start).Milliseconds() }
}

// empty tells whether there is neither a vhost nor a user.
func empty(c *topology.Catalog) bool {
	empty := true
	c.Users(func(*topology.User) bool { empty = false; return false })
	c.VHosts(func(*topology.VHost) bool { empty = false; return false })
	return empty
}
