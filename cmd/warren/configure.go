package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/listen"
	"github.com/warrenmq/warren/broker/metrics"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/broker/topology"
)

// configure makes a broker's Config of the settings. What it opens it leaves to the Config.
func configure(v *settings.Values, failed func(error)) (broker.Config, error) {
	c := broker.Config{
		NodeName: v.Text("node_name"), ClusterName: v.Text("cluster_name"), DefaultQueueType: v.Text("default_queue_type"),
		MaxConnections: int(v.Number("max_connections")), Anonymous: v.Text("anonymous_login_user"),
		TargetNodes: int(v.Number("cluster_formation.target_cluster_size_hint")), DataDir: v.Text("data_dir"), WithoutDefaults: definitions(v) != "",
		Session: session.Settings{
			FrameMax: uint32(v.Number("frame_max")), ChannelMax: channelMax(v), MaxMessageSize: v.Size("max_message_size"),
			HandshakeTimeout: milliseconds(v.Number("handshake_timeout")),
		},
		LoopbackOnly: loopbackOnly(v), PasswordHash: hashes[v.Text("password_hash")], Permit: permitted(v),
		LoginLimits: auth.Limits{Address: int(v.Number("login_failures_address")), User: int(v.Number("login_failures_user"))},
	}
	if c.ConsumerTimeout = milliseconds(v.Number("consumer_timeout")); c.ConsumerTimeout == 0 {
		c.ConsumerTimeout = -time.Millisecond // undefined, infinity
	}
	if c.Session.Heartbeat = uint16(v.Number("heartbeat")); c.Session.Heartbeat == 0 {
		c.NoHeartbeat = true
	}
	defaults(v, &c)
	var err error
	if c.Newcomers, err = newcomers(v); err != nil {
		return c, err
	}
	if c.VHostLimits, err = vhostLimits(v); err != nil {
		return c, err
	}
	if c.VHostPolicies, err = vhostPolicies(v); err != nil {
		return c, err
	}
	if c.MemoryLimit, c.DiskFreeLimit, err = alarms(v); err != nil {
		return c, err
	}
	if c.Listeners, err = listeners(v, failed); err != nil {
		return c, err
	}
	c.ManagementPrefix = v.Text("management.path_prefix")
	if c.Management, err = webListeners(v, &managementKeys, failed); err != nil {
		return c, err
	}
	c.MetricsSettings = metrics.Settings{
		Path: "/" + strings.Trim(v.Text("prometheus.path"), "/"), PerObject: v.Boolean("prometheus.return_per_object_metrics"),
		Authenticate: v.Boolean("prometheus.authentication.enabled"),
	}
	c.Metrics, err = webListeners(v, &metricsKeys, failed)
	c.MetricsIfFree = !v.Said("metrics_listen") && !v.Said("metrics_listen_tls") && !v.Said("prometheus.tcp.listener") &&
		!saidAny(v, "prometheus.tcp") && !saidAny(v, "prometheus.ssl")
	return c, err
}

// hashes are the algorithms for passwords by their names in a file.
var hashes = map[string]string{"argon2id": auth.Argon2, "sha256": auth.SHA256, "sha512": auth.SHA512}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// definitions is the file that every start imports, or "".
func definitions(v *settings.Values) string {
	for _, key := range []string{"load_definitions", "management.load_definitions", "definitions.local.path"} {
		if file := v.Text(key); file != "" {
			return file
		}
	}
	return ""
}

func channelMax(v *settings.Values) uint16 {
	key := "channel_max"
	if other := "max_channels_per_connection"; v.Said(other) && !v.Said(key) {
		key = other
	}
	return uint16(v.Number(key))
}

// defaults are the first user and vhost.
func defaults(v *settings.Values, c *broker.Config) {
	c.Defaults = topology.Defaults{
		VHost: v.Text("default_vhost"), User: v.Text("default_user"), Configure: v.Text("default_permissions.configure"),
		Write: v.Text("default_permissions.write"), Read: v.Text("default_permissions.read"),
	}
	c.DefaultPassword = v.Text("default_pass")
	tags, values := v.Each("default_user_tags.$tag")
	for _, tag := range tags {
		if values[tag].True() {
			c.Defaults.Record.Tags = append(c.Defaults.Record.Tags, tag)
		}
	}
	if len(tags) == 0 {
		c.Defaults.Record.Tags = []string{"administrator"}
	}
}

// loopbackOnly are the users that may come from this machine only: guest, and whom the settings name.
func loopbackOnly(v *settings.Values) []string {
	only := []string{}
	names, values := v.Each("loopback_users.$user")
	if v.Text("loopback_users") != "none" && !slices.Contains(names, "guest") {
		only = append(only, "guest")
	}
	for _, name := range names {
		if values[name].True() {
			only = append(only, name)
		}
	}
	return only
}

func permitted(v *settings.Values) map[string]bool {
	permit := map[string]bool{}
	names, values := v.Each("deprecated_features.permit.$name")
	for _, name := range names {
		permit[name] = values[name].True()
	}
	return permit
}

// alarms are the limits on memory and disk, in bytes; 0 is none.
func alarms(v *settings.Values) (memory, disk uint64, err error) {
	share := func(key string) (uint64, error) {
		ratio := v.Ratio(key)
		if ratio == 0 {
			return 0, nil
		}
		total := v.Size("total_memory_available_override_value")
		if total == 0 {
			if total, err = limits.TotalMemory(); err != nil {
				return 0, fmt.Errorf("%s: the memory there is cannot be measured: %w", key, err)
			}
		}
		return uint64(math.Round(ratio * float64(total))), nil
	}
	memory = v.Size("vm_memory_high_watermark.absolute")
	if !v.Said("vm_memory_high_watermark.absolute") {
		if memory, err = share("vm_memory_high_watermark.relative"); err != nil {
			return 0, 0, err
		}
	}
	disk = v.Size("disk_free_limit.absolute")
	if v.Said("disk_free_limit.relative") && !v.Said("disk_free_limit.absolute") {
		if disk, err = share("disk_free_limit.relative"); err != nil {
			return 0, 0, err
		}
	}
	if v.Boolean("ephemeral") {
		disk = 0
	}
	return memory, disk, nil
}

// listeners are the addresses for AMQP. What the command line or the environment says wins over the file's listeners.
func listeners(v *settings.Values, failed func(error)) (list []listen.Spec, err error) {
	proxy, trusted := v.Boolean("proxy_protocol"), v.Networks("proxy_protocol_trusted")
	timeout := milliseconds(v.Number("ssl_handshake_timeout"))
	add := func(certificates *listen.Certificates, addresses []string) {
		for _, address := range addresses {
			list = append(list, listen.Spec{Address: address, TLS: certificates, Proxy: proxy, Trusted: trusted, PrepareTimeout: timeout})
		}
	}
	add(nil, addresses(v, "listen", "listeners.tcp", true))
	if secure := addresses(v, "listen_tls", "listeners.ssl", false); len(secure) > 0 {
		certificates, err := certificates(v, "ssl_options", failed)
		if err != nil {
			return nil, err
		}
		add(certificates, secure)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no address to listen on for AMQP: listeners.tcp and listeners.ssl are none")
	}
	return list, nil
}

// webKeys are the settings of a listener for HTTP: ours, RabbitMQ's KIND.tcp and KIND.ssl, and RabbitMQ's ports.
type webKeys struct{ ours, kind, port, secure string }

var (
	managementKeys = webKeys{"management_listen", "management", "15672", "15671"}
	metricsKeys    = webKeys{"metrics_listen", "prometheus", "15692", "15691"}
)

// webListeners are the addresses for the HTTP API, or for Prometheus.
func webListeners(v *settings.Values, keys *webKeys, failed func(error)) (list []listen.Spec, err error) {
	timeout := milliseconds(v.Number("ssl_handshake_timeout"))
	for _, address := range webAddresses(v, keys.ours, keys.kind+".tcp", keys.port) {
		list = append(list, listen.Spec{Address: address, PrepareTimeout: timeout})
	}
	secure := webAddresses(v, keys.ours+"_tls", keys.kind+".ssl", keys.secure)
	if len(secure) == 0 {
		return list, nil
	}
	own := "ssl_options"
	if v.Said(keys.kind + ".ssl.certfile") {
		own = keys.kind + ".ssl"
	}
	certificates, err := certificates(v, own, failed)
	for _, address := range secure {
		list = append(list, listen.Spec{Address: address, TLS: certificates, PrepareTimeout: timeout})
	}
	return list, err
}

// webAddresses gives those of a setting of ours, or of RabbitMQ's KIND.ip and KIND.port. A broker that takes a free port for
// AMQP takes one for the rest too, if nobody says otherwise: several of them run side by side.
func webAddresses(v *settings.Values, ours, kind, port string) []string {
	switch {
	case v.Said(ours):
		return v.Addresses(ours)
	case saidAny(v, kind):
		if said := v.Text(kind + ".port"); said != "" {
			port = said
		}
		return []string{net.JoinHostPort(v.Text(kind+".ip"), port)}
	}
	switch base, plain := strings.CutSuffix(kind, ".tcp"); {
	case plain && saidAny(v, base+".ssl"):
		return nil // over TLS only
	case kind == "prometheus.tcp" && v.Text("prometheus.tcp.listener") == "none":
		return nil
	case kind == "prometheus.tcp" && v.Said("prometheus.tcp.listener"):
		return []string{net.JoinHostPort(v.Text("prometheus.tcp.listener"), port)}
	}
	list := v.Addresses(ours)
	if ports := v.Addresses("listen"); v.Said("listen") && !slices.ContainsFunc(ports, func(a string) bool { return !strings.HasSuffix(a, ":0") }) {
		for i, address := range list {
			host, _, _ := net.SplitHostPort(address) // it was checked
			list[i] = net.JoinHostPort(host, "0")
		}
	}
	return list
}

// saidAny tells whether somebody says where a listener of RabbitMQ's is.
func saidAny(v *settings.Values, kind string) bool { return v.Said(kind+".port") || v.Said(kind+".ip") }

// addresses gives those of a setting of ours, or of RabbitMQ's listeners.KIND.$name. A node_port is what RABBITMQ_NODE_PORT
// makes of the port of listeners.tcp.
func addresses(v *settings.Values, ours, theirs string, plain bool) (list []string) {
	names, values := v.Each(theirs + ".$name")
	for _, name := range names {
		list = append(list, values[name].Addresses()...)
	}
	switch {
	case v.Said(ours) && (len(names) == 0 || v.Above(ours, theirs+"."+names[0])):
		return v.Addresses(ours)
	case len(names) > 0:
		return list
	case plain && (v.Said("node_port") || v.Said("node_ip_address")):
		port := v.Text("node_port")
		if port == "" {
			port = "5672"
		}
		return []string{net.JoinHostPort(v.Text("node_ip_address"), port)}
	case v.Text(theirs) == "none":
		return nil
	}
	return v.Addresses(ours)
}

// versions of TLS by their names in a file.
var versions = map[string]uint16{"tlsv1.2": tls.VersionTLS12, "tlsv1.3": tls.VersionTLS13}

// certificates are those of ssl_options, of management.ssl, or of prometheus.ssl.
func certificates(v *settings.Values, from string, failed func(error)) (*listen.Certificates, error) {
	identity := listen.Identity{
		Pair:        listen.Pair{Cert: v.Text(from + ".certfile"), Key: v.Text(from + ".keyfile")},
		Authorities: v.Text(from + ".cacertfile"), Verify: v.Text(from+".verify") == "verify_peer",
		Require: v.Boolean(from + ".fail_if_no_peer_cert"),
	}
	if identity.Cert == "" {
		return nil, fmt.Errorf("a TLS listener wants %s.certfile and %s.keyfile", from, from)
	}
	names, values := v.Each("ssl_options.versions.$n")
	for _, name := range names {
		version := versions[values[name].Text]
		if identity.Least == 0 {
			identity.Least = version
		}
		identity.Least, identity.Most = min(identity.Least, version), max(identity.Most, version)
	}
	others, certs := v.Each("ssl_options.sni.$name.certfile")
	_, keys := v.Each("ssl_options.sni.$name.keyfile")
	for _, name := range others {
		identity.Others = append(identity.Others, listen.Pair{Cert: certs[name].Text, Key: keys[name].Text})
	}
	loaded, err := listen.LoadCertificates(identity, failed)
	if err != nil {
		return nil, fmt.Errorf("TLS: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	return loaded, nil
}
