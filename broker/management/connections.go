package management

import (
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
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

// connection finds the connection of the path, on any node. Who does not monitor finds its own.
func (q *request) connection() (spot, error) {
	found := q.gather(sessionsAsked{Name: q.values["name"]})
	if len(found) == 0 {
		return spot{}, errNotFound
	}
	if !q.monitors() && !q.owns(q.values["name"]) {
		return spot{}, errObject
	}
	return found[0], nil
}

// owns tells whether a connection is the user's own.
func (q *request) owns(name string) bool {
	own := q.principal.Name()
	return len(q.gather(sessionsAsked{Name: name, User: &own})) > 0
}

func (q *request) listConnections() (answer, error) {
	return ok(q.placeList(q.gather(q.conditions())))
}

func (q *request) getConnection() (answer, error) {
	p, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	return ok(q.placeObjects([]spot{p})[0])
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

// end closes connections of a node in order.
func (q *request) end(node uint64, of sessionsAsked) error {
	asked := closeAsked{of, q.http.Header.Get("X-Reason")}
	if node == q.server.Nodes.Self {
		_, err := q.server.closeHere(q.context(), asked)
		return err
	}
	_, err := askClose.of(q.context(), q.server, node, asked)
	return err
}

func (q *request) closeConnection() (answer, error) {
	p, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	if !q.administrates() && !q.owns(p.Name) {
		return answer{}, errObject
	}
	if err := q.end(p.node, sessionsAsked{Name: p.Name}); err != nil {
		return answer{}, errSilent
	}
	return done()
}

func (q *request) closeConnections() (answer, error) {
	asked := q.conditions()
	for _, node := range append(q.server.others(), q.server.Nodes.Self) {
		if err := q.end(node, asked); err != nil {
			return answer{}, errSilent
		}
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

func (q *request) listChannels() (answer, error) {
	asked := q.conditions()
	asked.Channels = true
	return ok(q.placeList(q.gather(asked)))
}

func (q *request) listConnectionChannels() (answer, error) {
	p, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	return ok(q.placeList(q.gather(sessionsAsked{Name: p.Name, Channels: true})))
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
	p, err := q.connection()
	if err != nil {
		return answer{}, err
	}
	for _, one := range q.gather(sessionsAsked{Name: p.Name, Channels: true}) {
		if int(one.Channel) == number {
			o := q.placeObjects([]spot{one})[0]
			o["consumer_details"] = q.consumersOn(o)
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
func (q *request) consumersOn(channel object) []object {
	own := []object{}
	vhost, _ := channel["vhost"].(string)
	v := q.catalog.VHost(vhost)
	if count, _ := number(channel["consumer_count"]); v == nil || count == 0 {
		return own
	}
	for _, o := range q.server.consumersOf(q.context(), queuesIn([]*topology.VHost{v}), consumersAsked{VHosts: []string{vhost}}) {
		if on, _ := o["channel_details"].(object); on["name"] == channel["name"] {
			own = append(own, o)
		}
	}
	return own
}

func itoa(n int) string { return strconv.Itoa(n) }
