package broker

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/listen"
	"github.com/warrenmq/warren/broker/management"
	"github.com/warrenmq/warren/broker/metrics"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/topology"
)

// makeHTTP makes the HTTP API. Nobody reaches it from outside yet.
func (b *Broker) makeHTTP() {
	c := &b.config
	b.management = management.New(management.Options{
		Editor: b.editor, Authority: b.env.Load().Authority, Registry: b.registry, Alarms: &b.alarms, PathPrefix: c.ManagementPrefix, Audit: b.config.Audit,
		Nodes: b.nodes(), Groups: b.groups.list, Damage: b.groups.damage, Dial: b.dialLocal, Listeners: b.everyListener, Limits: b.limits, Logger: c.area("default"), Clock: c.Clock,
		Identity: management.Identity{
			Node: c.NodeName, Cluster: c.ClusterName, Product: c.Session.Product, Version: c.Session.Version, Own: c.OwnVersion,
			DataDir: c.DataDir, DefaultQueueType: c.DefaultQueueType,
			MaxConnections: c.MaxConnections, TargetNodes: c.TargetNodes, LogFiles: c.LogFiles, ConfigFiles: c.ConfigFiles, Settings: c.Settings, Forbidden: b.editor.Forbidden, Started: time.Now(),
		},
	})
}

// startHTTP opens the addresses of the HTTP API, and lets it answer.
func (b *Broker) startHTTP(ctx context.Context) error {
	c := &b.config
	for _, spec := range c.Management {
		l, err := listen.Open(ctx, spec)
		if err != nil {
			return err
		}
		b.webs = append(b.webs, l)
		kind := "HTTP"
		if l.Secure() {
			kind = "HTTPS"
		}
		c.Logger.Info().Msgf("started %s listener on %s", kind, l.Addr())
	}
	if len(b.webs) > 0 || b.groups.links != nil { // other nodes ask too
		b.sessions.Go(func() { b.management.Sample(b.running) })
	}
	b.serveHTTP(b.webs, "the management API", b.management.Serve)
	return nil
}

// serveHTTP lets a server answer what comes to listeners.
func (b *Broker) serveHTTP(listeners []*listen.Listener, what string, serve func(net.Listener) error) {
	for _, l := range listeners {
		ready := &readyListener{Listener: l, conns: make(chan net.Conn), ended: b.running.Done()}
		b.sessions.Go(func() { b.prepare(ready) })
		b.sessions.Go(func() {
			if err := serve(ready); err != nil && !errors.Is(err, net.ErrClosed) {
				b.config.Logger.Error().Err(err).Msg(what + " has ended")
			}
		})
	}
}

// startMetrics opens the addresses for Prometheus.
func (b *Broker) startMetrics(ctx context.Context) error {
	c := &b.config
	for _, spec := range c.Metrics {
		l, err := listen.Open(ctx, spec)
		switch {
		case err != nil && c.MetricsIfFree:
			c.Logger.Warn().Err(err).Msg("there are no metrics for Prometheus: their address is taken")
			continue
		case err != nil:
			return err
		}
		b.meters = append(b.meters, l)
		c.Logger.Info().Msgf("started metrics listener on %s", l.Addr())
	}
	if len(b.meters) == 0 {
		return nil
	}
	b.metrics = metrics.New(metrics.Options{
		Catalog: b.editor.Catalog, Registry: b.registry, Alarms: &b.alarms, Groups: b.groups.list, Authority: b.env.Load().Authority,
		Storage: c.Storage, Settings: c.MetricsSettings, Logger: c.area("default"),
		Limits: b.limits, Ways: b.ways(),
		Identity: metrics.Identity{
			Node: c.NodeName, Cluster: c.ClusterName, Version: c.Session.Version, Own: c.OwnVersion, DataDir: c.DataDir, Started: time.Now(),
		},
	})
	b.serveHTTP(b.meters, "the server for Prometheus", b.metrics.Serve)
	return nil
}

// ways tells how the ways to groups are, for Prometheus.
func (b *Broker) ways() func() []metrics.Way {
	links := b.groups.links
	if links == nil {
		return nil
	}
	return func() (list []metrics.Way) {
		for _, s := range links.Standings() {
			list = append(list, metrics.Way{
				Group: s.Group, Refuses: s.Refuses, Waiting: s.Waiting, Leaderless: s.Leaderless, Full: s.Full, Requests: s.Requests,
			})
		}
		return list
	}
}

// readyListener gives connections that can be talked on.
type readyListener struct {
	*listen.Listener
	conns chan net.Conn
	ended <-chan struct{}
}

// Accept implements net.Listener.
func (l *readyListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// prepare accepts connections and makes them ready, each on a goroutine of its own.
func (b *Broker) prepare(l *readyListener) {
	for {
		conn, err := b.acceptOne(l.Listener)
		if err != nil {
			return
		}
		if conn == nil {
			continue
		}
		b.sessions.Go(func() {
			ready, err := l.Prepare(b.running, conn)
			if err != nil {
				b.config.Logger.Debug().Err(err).Str("peer", conn.RemoteAddr().String()).Msg("HTTP connection refused")
				return
			}
			select {
			case l.conns <- ready:
			case <-l.ended:
				_ = ready.Close()
			}
		})
	}
}

// countQueues counts the queues that come and go.
func (b *Broker) countQueues(change topology.Change) {
	churn := &b.registry.Board.Churn
	for _, c := range change.Queues {
		switch {
		case c.Before == nil && !c.After.Hidden():
			churn.QueuesCreated.Add(1)
		case c.After == nil && !c.Before.Hidden():
			churn.QueuesDeleted.Add(1)
		}
	}
}

// list gives the groups that are open on this node.
func (g *groups) list() []*group.Group {
	open := *g.open.Load()
	list := make([]*group.Group, 0, len(open))
	for id, opened := range open {
		if g.leads(id) { // others cannot be asked
			list = append(list, opened)
		}
	}
	return list
}

// everyListener gives all addresses that the broker listens on.
func (b *Broker) everyListener() (list []management.Listener) {
	for _, l := range b.Listeners() {
		list = append(list, management.Listener{Protocol: l.Protocol, Addr: l.Addr, Expiry: l.Expiry})
	}
	return list
}

// from is the broker's end of a connection to itself, on behalf of a peer.
type from struct {
	net.Conn
	peer net.Addr
}

// RemoteAddr implements net.Conn.
func (f from) RemoteAddr() net.Addr { return f.peer }

// dialLocal opens an AMQP connection to the broker itself.
func (b *Broker) dialLocal(peer net.Addr) net.Conn {
	client, server := net.Pipe()
	b.sessions.Go(session.NewLocal(b.env.Load(), from{server, peer}).Serve)
	return client
}
