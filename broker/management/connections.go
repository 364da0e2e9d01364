package management

import (
	"crypto/tls"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

func connectionRoutes() []route {
	return []route{
		{"GET", "/connections", anyUser, (*request).listConnections, "The connections"},
		{"GET", "/connections/username/{user}", ownUser, (*request).listConnections, "The connections of a user"},
		{"DELETE", "/connections/username/{user}", ownUserOrAdmin, (*request).closeConnections, "Close the connections of a user"},
		{"GET", "/connections/{name}", anyUser, (*request).getConnection, "A connection"},
		{"DELETE", "/connections/{name}", anyUser, (*request).closeConnection, "Close a connection; the header X-Reason says why"},
		{"GET", "/connections/{name}/channels", anyUser, (*request).listConnectionChannels, "The channels of a connection"},
		{"GET", "/connections/{name}/sessions", anyUser, (*request).listConnectionSessions, "The AMQP 1.0 sessions of a connection: none"},
		{"GET", "/channels", anyUser, (*request).listChannels, "The channels"},
		{"GET", "/channels/{name}", anyUser, (*request).getChannel, "A channel"},
	}
}

// open gives the connections that the user may see and the path is about, by name. Who does not monitor sees its own.
func (q *request) open() []*session.Session {
	vhost, inVHost := q.values["vhost"]
	user, ofUser := q.values["user"]
	type named struct {
		name string
		*session.Session
	}
	var found []named
	q.server.Registry.Each(func(c *session.Session) {
		i := c.Info()
		if inVHost && i.VHost != vhost || ofUser && i.User != user || !q.monitors() && i.User != q.principal.Name() {
			return
		}
		found = append(found, named{i.Name, c})
	})
	slices.SortFunc(found, func(a, b named) int { return strings.Compare(a.name, b.name) })
	list := make([]*session.Session, len(found))
	for i := range found {
		list[i] = found[i].Session
	}
	return list
}

// connection finds the connection of the path.
func (q *request) connection() (*session.Session, error) {
	var found *session.Session
	q.server.Registry.Each(func(c *session.Session) {
		if c.Name() == q.values["name"] {
			found = c
		}
	})
	switch {
	case found == nil:
		return nil, errNotFound
	case !q.monitors() && found.Info().User != q.principal.Name():
		return nil, errObject
	}
	return found, nil
}

func (q *request) listConnections() (answer, error) {
	open := q.open()
	l := &list{names: make([]string, len(open)), paged: true}
	for i, c := range open {
		l.names[i] = c.Name()
	}
	a := q.ages()
	l.show = func(indexes []int) []object {
		out := make([]object, len(indexes))
		for i, at := range indexes {
			out[i] = q.server.connectionObject(open[at], a)
		}
		return out
	}
	return ok(l)
}

func (q *request) getConnection() (answer, error) {
	c, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	return ok(q.server.connectionObject(c, q.ages()))
}

func (s *Server) connectionObject(c *session.Session, a ages) object {
	i := c.Info()
	host, port := hostPort(i.Local)
	peerHost, peerPort := hostPort(i.Peer)
	v := s.sampler.connections.View(i.ID)
	name, _ := i.Client.Get("connection_name")
	o := object{
		"name": i.Name, "node": s.Node, "user": i.User, "user_who_performed_action": i.User, "vhost": i.VHost,
		"protocol": "AMQP 0-9-1", "type": "network", "state": connectionState(&i), "auth_mechanism": i.Mechanism,
		"host": host, "port": port, "peer_host": peerHost, "peer_port": peerPort, "timeout": int(i.Heartbeat / time.Second),
		"frame_max": i.FrameMax, "channel_max": i.ChannelMax, "channels": i.Channels,
		"client_properties": tableObject(i.Client), "connected_at": i.ConnectedAt.UnixMilli(),
		"recv_oct": i.OctetsIn, "recv_oct_details": details(v, a.data, octetsIn),
		"send_oct": i.OctetsOut, "send_oct_details": details(v, a.data, octetsOut),
		"recv_cnt": i.PacketsIn, "send_cnt": i.PacketsOut, "send_pend": 0,
		"reductions": 0, "reductions_details": object{"rate": float(0)}, "garbage_collection": garbage(),
		"ssl": i.TLS != nil, "ssl_protocol": nil, "ssl_key_exchange": nil, "ssl_cipher": nil, "ssl_hash": nil,
		"peer_cert_subject": nil, "peer_cert_issuer": nil, "peer_cert_validity": nil, "peer_cert_serial_number": nil,
	}
	if name != nil {
		o["user_provided_name"] = fieldValue(name)
	}
	if i.TLS != nil {
		addTLS(o, i.TLS)
	}
	return o
}

func connectionState(i *session.Info) string {
	switch {
	case i.Closing:
		return "closing"
	case i.Blocked:
		return "blocked"
	}
	return "running"
}

func addTLS(o object, state *tls.ConnectionState) {
	o["ssl_protocol"] = strings.ToLower(strings.ReplaceAll(tls.VersionName(state.Version), " ", "v"))
	o["ssl_cipher"] = tls.CipherSuiteName(state.CipherSuite)
	if len(state.PeerCertificates) > 0 {
		cert := state.PeerCertificates[0]
		o["peer_cert_subject"], o["peer_cert_issuer"] = cert.Subject.String(), cert.Issuer.String()
		o["peer_cert_validity"] = cert.NotBefore.UTC().Format(time.RFC3339) + " - " + cert.NotAfter.UTC().Format(time.RFC3339)
	}
}

// garbage is what Erlang's processes tell of their memory; here nothing.
func garbage() object {
	return object{"max_heap_size": 0, "min_bin_vheap_size": 0, "min_heap_size": 0, "fullsweep_after": 0, "minor_gcs": 0}
}

// closedBy is what a client reads that was closed for no given reason.
const closedBy = "Closed via management plugin"

// end closes a connection in order.
func (q *request) end(c *session.Session) {
	reason := q.http.Header.Get("X-Reason")
	if reason == "" {
		reason = closedBy
	}
	c.Close(&protocol.Error{Code: protocol.CodeConnectionForced, Text: reason})
}

func (q *request) closeConnection() (answer, error) {
	c, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	if !q.administrates() && c.Info().User != q.principal.Name() {
		return answer{}, errObject
	}
	q.end(c)
	return done()
}

func (q *request) closeConnections() (answer, error) {
	for _, c := range q.open() {
		q.end(c)
	}
	return done()
}

func (q *request) listConnectionSessions() (answer, error) {
	if _, err := q.connection(); err != nil {
		return answer{}, err
	}
	return ok([]any{})
}

// channel is a channel of a connection.
type channel struct {
	of   session.Info
	info session.ChannelInfo
}

func channelsOf(open []*session.Session) (all []channel) {
	for _, c := range open {
		i := c.Info()
		for _, ch := range c.Channels() {
			all = append(all, channel{i, ch})
		}
	}
	return all
}

func (q *request) channelList(channels []channel) *list {
	l := &list{names: make([]string, len(channels)), paged: true}
	for i := range channels {
		l.names[i] = channelName(channels[i].of.Name, channels[i].info.Number)
	}
	a := q.ages()
	l.show = func(indexes []int) []object {
		out := make([]object, len(indexes))
		for i, at := range indexes {
			out[i] = q.server.channelObject(&channels[at], a)
		}
		return out
	}
	return l
}

func (q *request) listChannels() (answer, error) { return ok(q.channelList(channelsOf(q.open()))) }

func (q *request) listConnectionChannels() (answer, error) {
	c, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	return ok(q.channelList(channelsOf([]*session.Session{c})))
}

func (s *Server) channelObject(c *channel, a ages) object {
	host, port := hostPort(c.of.Peer)
	v := s.sampler.channels.View(channelKey{c.of.ID, c.info.Number})
	o := object{
		"name": channelName(c.of.Name, c.info.Number), "number": c.info.Number, "user": c.of.User,
		"user_who_performed_action": c.of.User, "vhost": c.of.VHost, "node": s.Node,
		"connection_details": object{"name": c.of.Name, "peer_host": host, "peer_port": port},
		"consumer_count":     c.info.Consumers, "prefetch_count": c.info.Prefetch, "confirm": c.info.Confirm,
		"transactional": c.info.Transactional, "messages_unacknowledged": c.info.Unacked,
		"messages_unconfirmed": c.info.Unconfirmed, "messages_uncommitted": 0, "acks_uncommitted": c.info.UncommittedAcks,
		"pending_raft_commands": 0, "cached_segments": 0, "state": "running", "reductions": 0,
		"reductions_details": object{"rate": float(0)}, "garbage_collection": garbage(),
	}
	if c.info.Global > 0 {
		o["global_prefetch_count"] = c.info.Global
	}
	s.addIdleSince(o, v)
	if c.info.Counts != (stats.Counts{}) {
		o[messageStatsField] = messageStats(c.info.Counts, v, a)
	}
	return o
}

func (q *request) getChannel() (answer, error) {
	connection, number, isChannel := cutChannel(q.values["name"])
	if !isChannel {
		return answer{}, errNotFound
	}
	q.values["name"] = connection
	s, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	for _, c := range channelsOf([]*session.Session{s}) {
		if int(c.info.Number) == number {
			o := q.server.channelObject(&c, q.ages())
			o["consumer_details"] = q.consumersOn(&c)
			o["publishes"], o["deliveries"] = []any{}, []any{}
			return ok(o)
		}
	}
	return answer{}, errNotFound
}

// cutChannel takes the name of a channel apart.
func cutChannel(name string) (connection string, number int, ok bool) {
	connection, rest, found := strings.Cut(name, " (")
	digits, closed := strings.CutSuffix(rest, ")")
	number, err := strconv.Atoi(digits)
	return connection, number, found && closed && err == nil
}

// consumersOn describes the consumers of a channel.
func (q *request) consumersOn(c *channel) []object {
	own := []object{}
	v := q.catalog.VHost(c.of.VHost)
	if v == nil || c.info.Consumers == 0 {
		return own
	}
	name := channelName(c.of.Name, c.info.Number)
	for _, o := range q.server.consumersOf(q.context(), queuesIn([]*topology.VHost{v}), map[uint64]session.Info{c.of.ID: c.of}) {
		if on, _ := o["channel_details"].(object); on["name"] == name {
			own = append(own, o)
		}
	}
	return own
}

func itoa(n int) string { return strconv.Itoa(n) }
