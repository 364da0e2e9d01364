package settings

import "slices"

// Choices that several settings share.
var (
	outputs   = []string{"plaintext", "json"}
	verify    = []string{"verify_none", "verify_peer"}
	queueOf   = []string{"classic", "quorum", "stream"}
	appliesTo = []string{"all", "exchanges", "queues", "classic_queues", "quorum_queues", "streams"}
	protocol  = []string{"tlsv1.2", "tlsv1.3"}
)

// web are the settings of a listener for HTTP, plain and over TLS, by RabbitMQ's keys.
func web(kind, what string) []Setting {
	return []Setting{
		{Name: kind + ".tcp.port", Kind: Number, Most: 65535, Text: "port for " + what + ", with " + kind + ".tcp.ip"},
		{Name: kind + ".tcp.ip", Text: "address for " + what + "; without it, where there is a port, all interfaces"},
		{Name: kind + ".ssl.port", Kind: Number, Most: 65535, Text: "port for " + what + " over TLS"},
		{Name: kind + ".ssl.ip", Text: "address for " + what + " over TLS"},
		{Name: kind + ".ssl.cacertfile", Text: "as ssl_options.cacertfile, for " + what + "; without any of these ssl_options hold"},
		{Name: kind + ".ssl.certfile", Text: "as ssl_options.certfile"},
		{Name: kind + ".ssl.keyfile", Text: "as ssl_options.keyfile"},
		{Name: kind + ".ssl.verify", Kind: Choice, Choices: verify, Default: "verify_none", Text: "as ssl_options.verify"},
		{Name: kind + ".ssl.fail_if_no_peer_cert", Kind: Boolean, Default: "false", Text: "as ssl_options.fail_if_no_peer_cert"},
	}
}

// List is every setting there is, in the order in which they are shown.
var List = slices.Concat(nodeSettings, web("management", "the HTTP API"), web("prometheus", "Prometheus"), furtherSettings)

// nodeSettings are what a start is about, listeners for AMQP, and TLS.
var nodeSettings = []Setting{
	// What a start is about.
	{Name: "config", FlagOnly: true, Also: []string{"RABBITMQ_CONFIG_FILE"}, Text: "configuration file; without it /etc/warren/warren.conf, if there is one"},
	{Name: "config_dir", FlagOnly: true, Also: []string{"RABBITMQ_CONFIG_FILES"}, Text: "directory whose *.conf are read after the file, or a pattern; without it conf.d beside the file"},
	{Name: "listen", Kind: Addresses, Default: "127.0.0.1:5672", Text: "addresses for AMQP; port 0 takes a free one. What listeners.tcp says holds instead, unless this is said too"},
	{Name: "listen_tls", Kind: Addresses, Text: "addresses for AMQP over TLS"},
	{Name: "management_listen", Kind: Addresses, Default: "127.0.0.1:15672", Text: "addresses for the HTTP API; empty for none"},
	{Name: "management_listen_tls", Kind: Addresses, Text: "addresses for the HTTP API over TLS"},
	{Name: "metrics_listen", Kind: Addresses, Default: "127.0.0.1:15692", Text: "addresses for Prometheus; empty for none. If nobody says it and it is taken, there are none"},
	{Name: "metrics_listen_tls", Kind: Addresses, Text: "addresses for Prometheus over TLS"},
	{Name: "data_dir", Default: "warren-data", Also: []string{"RABBITMQ_MNESIA_BASE", "RABBITMQ_MNESIA_DIR"}, Text: "directory for messages and metadata"},
	{Name: "ephemeral", Kind: Boolean, Default: "false", Text: "keep nothing on disk"},
	{Name: "ready_file", Text: "file that appears, complete, when the broker is ready: a line NAME=ADDRESS for each listener"},
	{Name: "pid_file", Also: []string{"RABBITMQ_PID_FILE"}, Text: "file that holds the process id while the broker runs"},
	{Name: "control_socket", Text: "unix socket over which this user and root administer the broker without a password; without it control.sock in data_dir; none for none"},
	{Name: "node_name", Default: "warren@localhost", Also: []string{"RABBITMQ_NODENAME"}, Text: "what the node is called"},
	{Name: "cluster_name", Text: "what clients are told the cluster is called; without it the node's name"},

	// The cluster.
	{Name: "cluster_listen", Kind: Address, Text: "address for other nodes; without it the node is alone"},
	{Name: "cluster_address", Text: "where other nodes reach it; without it cluster_listen"},
	{Name: "cluster_insecure", Kind: Boolean, Default: "false", Text: "nodes may talk in the clear where others could listen"},
	{Name: "cluster_tls.cacertfile", Text: "PEM file of the authority whose certificates make a node one of the cluster"},
	{Name: "cluster_tls.certfile", Text: "PEM file of this node's certificate"},
	{Name: "cluster_tls.keyfile", Text: "PEM file of its private key"},
	{Name: "cluster_tls.lifetime", Kind: Duration, Default: "2160h", Text: "how long a certificate holds that this node signs; nodes renew theirs when two thirds are over"},
	{Name: "cluster_lease", Kind: Duration, Default: "10s", Text: "how long a node counts as alive when nothing is heard of it"},
	{Name: "cluster_patience", Kind: Duration, Default: "10s", Text: "how long a group of queues may have no leader until what is new for it is refused; 3s at least"},
	{Name: "cluster_backlog", Kind: Size, Default: "64MiB", Text: "bytes that may wait on this node for one group of queues; 1MiB at least"},
	{Name: "role", Kind: Choice, Choices: []string{"both", "frontend", "backend"}, Default: "both", Text: "a frontend holds no durable queues, a backend takes no AMQP connections"},
	{Name: "quorum_queue.initial_cluster_size", Kind: Number, Least: 1, Default: "3", Text: "on how many nodes of a cluster a durable queue of any type lies that does not say; even numbers count as the next odd one, 7 is the most"},
	{Name: "cluster_formation.target_cluster_size_hint", Kind: Number, Least: 1, Default: "1", Text: "how many nodes there have to be for the health check reached-target-cluster-size"},
	{Name: "zone", Text: "what fails together with this node: groups are spread over zones"},
	{Name: "etcd_endpoints", Kind: Words, Text: "URLs of etcd; without any the embedded member's"},
	{Name: "etcd_user", Text: "whom etcd knows this node as; without it by its certificate alone"},
	{Name: "etcd_password", Secret: true, Text: "password of etcd_user"},
	{Name: "etcd_tls.cacertfile", Text: "PEM file of the authority of an etcd outside; without it the cluster's"},
	{Name: "etcd_tls.certfile", Text: "PEM file of the certificate that such an etcd is shown"},
	{Name: "etcd_tls.keyfile", Text: "PEM file of its private key"},
	{Name: "etcd_prefix", Default: "/warren/", Text: "what the cluster's keys in etcd begin with"},
	{Name: "etcd_embed", Kind: Boolean, Default: "false", Text: "run a member of etcd in this process"},
	{Name: "etcd_listen", Kind: Address, Default: "127.0.0.1:2379", Text: "address of the embedded member for clients"},
	{Name: "etcd_peer_listen", Kind: Address, Default: "127.0.0.1:2380", Text: "address of the embedded member for other members"},
	{Name: "etcd_address", Text: "where others reach the embedded member as clients; without it etcd_listen"},
	{Name: "etcd_peer_address", Text: "where other members reach it; without it etcd_peer_listen"},
	{Name: "etcd_members", Text: "the first members of the embedded etcd, as NAME=PEER_URL between commas, the same for all; without it this one alone"},

	// Listeners, by RabbitMQ's keys.
	{Name: "listeners.tcp.$name", Kind: Address, Text: "an address for AMQP; a port alone is on all interfaces"},
	{Name: "listeners.tcp", Kind: Choice, Choices: []string{"none"}, Text: "none: no AMQP without TLS"},
	{Name: "listeners.ssl.$name", Kind: Address, Text: "an address for AMQP over TLS"},
	{Name: "listeners.ssl", Kind: Choice, Choices: []string{"none"}, Text: "none: no AMQP over TLS"},
	{Name: "node_port", Kind: Number, Most: 65535, Also: []string{"RABBITMQ_NODE_PORT"}, FlagOnly: true, Text: "port for AMQP, with node_ip_address"},
	{Name: "node_ip_address", Also: []string{"RABBITMQ_NODE_IP_ADDRESS"}, FlagOnly: true, Text: "address for AMQP, with node_port; without it all interfaces"},
	{Name: "proxy_protocol", Kind: Boolean, Default: "false", Text: "connections come through a proxy that says in the PROXY protocol, version 1 or 2, from where"},
	{Name: "proxy_protocol_trusted", Kind: Networks, Default: "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
		Text: "where such proxies are; others are taken for who they are"},

	// TLS.
	{Name: "ssl_options.cacertfile", Also: []string{"RABBITMQ_SSL_CACERTFILE"}, Text: "PEM file of authorities whose clients' certificates are trusted"},
	{Name: "ssl_options.certfile", Also: []string{"RABBITMQ_SSL_CERTFILE"}, Text: "PEM file of the certificate, with what links it to its authority; read again when it changes"},
	{Name: "ssl_options.keyfile", Also: []string{"RABBITMQ_SSL_KEYFILE"}, Text: "PEM file of the certificate's private key"},
	{Name: "ssl_options.verify", Also: []string{"RABBITMQ_SSL_VERIFY"}, Kind: Choice, Choices: verify, Default: "verify_none", Text: "verify_peer: a client's certificate is checked"},
	{Name: "ssl_options.fail_if_no_peer_cert", Also: []string{"RABBITMQ_SSL_FAIL_IF_NO_PEER_CERT"}, Kind: Boolean, Default: "false", Text: "with verify_peer: a client without a certificate is refused"},
	{Name: "ssl_options.versions.$n", Kind: Choice, Choices: protocol, Text: "a version of TLS that is spoken; without any 1.2 and 1.3"},
	{Name: "ssl_options.sni.$name.certfile", Text: "certificate for clients that ask for a host name; $name is free, the names are those in the certificate"},
	{Name: "ssl_options.sni.$name.keyfile", Text: "private key of that certificate"},
	{Name: "ssl_handshake_timeout", Kind: Number, Default: "5000", Least: 1, Text: "milliseconds that a TLS handshake may take"},
}

// furtherSettings are the rest: what else there is about HTTP, the first user, who may come, bounds, logs.
var furtherSettings = []Setting{
	// What is asked for over HTTP.
	{Name: "prometheus.tcp.listener", Text: "none: there is nothing for Prometheus without TLS; or an address, as prometheus.tcp.ip"},
	{Name: "prometheus.path", Default: "/metrics", Text: "path of what Prometheus reads"},
	{Name: "prometheus.return_per_object_metrics", Kind: Boolean, Default: "false", Text: "the path gives the numbers of each queue, channel and connection"},
	{Name: "prometheus.authentication.enabled", Kind: Boolean, Default: "false", Text: "only users with the tag monitoring or administrator may read it"},
	{Name: "management.path_prefix", Text: "prefix of all paths of the HTTP API"},
	{Name: "management.load_definitions", Text: "as load_definitions"},

	// Traces.
	{Name: "tracing.otlp.endpoint", Text: "URL of a receiver of spans by OTLP over HTTP, such as http://127.0.0.1:4318; without it OTEL_EXPORTER_OTLP_ENDPOINT says where, and without that there are none"},

	// What an empty broker begins with.
	{Name: "default_user", Default: "guest", Also: []string{"RABBITMQ_DEFAULT_USER"}, Text: "first user of an empty broker"},
	{Name: "default_pass", Default: "guest", Secret: true, Also: []string{"RABBITMQ_DEFAULT_PASS"}, Text: "password of the first user"},
	{Name: "default_vhost", Default: "/", Also: []string{"RABBITMQ_DEFAULT_VHOST"}, Text: "first vhost of an empty broker"},
	{Name: "default_user_tags.$tag", Kind: Boolean, Text: "the first user has the tag; without any: administrator"},
	{Name: "default_permissions.configure", Kind: Pattern, Default: ".*", Text: "what the first user may configure in the first vhost"},
	{Name: "default_permissions.write", Kind: Pattern, Default: ".*", Text: "what the first user may write to"},
	{Name: "default_permissions.read", Kind: Pattern, Default: ".*", Text: "what the first user may read from"},
	{Name: "default_users.$name.password", Secret: true, Text: "password of a user that a new vhost brings with it; without one it cannot log in"},
	{Name: "default_users.$name.tags", Text: "its tags, with commas between them"},
	{Name: "default_users.$name.vhost_pattern", Kind: Pattern, Text: "which new vhosts bring it; without it all"},
	{Name: "default_users.$name.configure", Kind: Pattern, Text: "what it may configure there; without it everything"},
	{Name: "default_users.$name.write", Kind: Pattern, Text: "what it may write to"},
	{Name: "default_users.$name.read", Kind: Pattern, Text: "what it may read from"},
	{Name: "default_limits.vhosts.$id.pattern", Kind: Pattern, Text: "which new vhosts begin with these limits; without it all. Of several that fit, the first $id holds, as text"},
	{Name: "default_limits.vhosts.$id.max_connections", Kind: Number, Least: 1, Text: "connections such a vhost may have"},
	{Name: "default_limits.vhosts.$id.max_queues", Kind: Number, Least: 1, Text: "queues it may have"},
	{Name: "default_policies.operator.$id.vhost_pattern", Kind: Pattern, Text: "which new vhosts begin with an operator policy called $id; without it all"},
	{Name: "default_policies.operator.$id.queue_pattern", Kind: Pattern, Text: "to which queues it applies; without it to all"},
	{Name: "default_policies.operator.$id.apply_to", Kind: Choice, Choices: appliesTo, Text: "to what kind; without it to all"},
	{Name: "default_policies.operator.$id.expires", Kind: Span, Text: "its expires"},
	{Name: "default_policies.operator.$id.message_ttl", Kind: Span, Text: "its message-ttl"},
	{Name: "default_policies.operator.$id.max_length", Kind: Number, Least: 1, Text: "its max-length"},
	{Name: "default_policies.operator.$id.max_length_bytes", Kind: Bytes, Text: "its max-length-bytes"},
	{Name: "default_policies.operator.$id.max_in_memory_length", Kind: Number, Least: 1, Text: "its max-in-memory-length, which does nothing"},
	{Name: "default_policies.operator.$id.max_in_memory_bytes", Kind: Bytes, Text: "its max-in-memory-bytes, which does nothing"},
	{Name: "default_policies.operator.$id.delivery_limit", Kind: Number, Least: 1, Text: "its delivery-limit"},
	{Name: "default_policies.operator.$id.classic_queues.queue_version", Kind: Number, Least: 1, Most: 2, Text: "its queue-version, which does nothing"},
	{Name: "load_definitions", Also: []string{"RABBITMQ_LOAD_DEFINITIONS"}, Text: "JSON file of definitions that every start imports; then there is no first user"},
	{Name: "definitions.local.path", Text: "as load_definitions"},
	{Name: "definitions.import_backend", Kind: Choice, Choices: []string{"local_filesystem"}, Text: "where definitions.local.path is"},
	{Name: "default_queue_type", Kind: Choice, Choices: queueOf, Default: "classic", Text: "type of a queue that does not say"},

	// Who may come, and how often.
	{Name: "loopback_users.$user", Kind: Boolean, Reload: true, Text: "the user may come from this machine only; without any: guest"},
	{Name: "loopback_users", Kind: Choice, Choices: []string{"none"}, Reload: true, Text: "none: every user may come from everywhere"},
	{Name: "anonymous_login_user", Default: "guest", Text: "whom the mechanism ANONYMOUS logs in; none switches it off"},
	{Name: "password_hash", Kind: Choice, Default: "argon2id", Choices: []string{"argon2id", "sha256", "sha512"}, Reload: true,
		Text: "how new passwords are kept; with sha256 and sha512 a RabbitMQ can import them"},
	{Name: "login_failures_address", Kind: Number, Default: "60", Reload: true, Text: "failed logins a minute from one address, beyond which it is refused unheard; 0: no bound"},
	{Name: "login_failures_user", Kind: Number, Default: "20", Reload: true, Text: "failed logins a minute as one user from one address; 0: no bound"},
	{Name: "max_connections", Kind: Number, Default: "0", Text: "connections there may be; 0: no bound"},

	// Connections.
	{Name: "heartbeat", Kind: Number, Most: 65535, Default: "60", Reload: true, Text: "seconds of silence that are suggested to clients"},
	{Name: "frame_max", Kind: Number, Least: 8192, Most: 1 << 31, Default: "131072", Reload: true, Text: "bytes of the largest frame"},
	{Name: "channel_max", Kind: Number, Least: 1, Most: 65535, Default: "2047", Reload: true, Text: "channels of one connection"},
	{Name: "max_channels_per_connection", Kind: Number, Least: 1, Most: 65535, Reload: true, Text: "another name of channel_max"},
	{Name: "max_message_size", Kind: Size, Default: "16777216", Reload: true, Text: "bytes of the largest message; 512 MiB at most"},
	{Name: "handshake_timeout", Kind: Number, Least: 1, Default: "10000", Reload: true, Text: "milliseconds from connecting to being open"},
	{Name: "consumer_timeout", Default: "1800000", Text: "milliseconds a consumer of a quorum queue may take to acknowledge, or undefined"},

	// Alarms.
	{Name: "vm_memory_high_watermark.relative", Kind: Ratio, Default: "0.6", Reload: true, Text: "share of the memory from which on publishers are blocked; 0: never"},
	{Name: "vm_memory_high_watermark.absolute", Kind: Size, Reload: true, Text: "bytes of memory from which on publishers are blocked"},
	{Name: "total_memory_available_override_value", Kind: Size, Text: "bytes of memory there are, if the machine is not to be asked"},
	{Name: "disk_free_limit.absolute", Kind: Size, Default: "50MB", Reload: true, Text: "bytes that must be free where the data is, else publishers are blocked; 0: none"},
	{Name: "disk_free_limit.relative", Kind: Ratio, Reload: true, Text: "the same as a share of the memory"},

	// Deprecated features.
	{Name: "deprecated_features.permit.$name", Kind: Boolean, Text: "a deprecated feature may be used, or must not"},

	// Logs.
	{Name: "log.console", Kind: Boolean, Default: "true", Text: "the log goes to standard output"},
	{Name: "log.console.level", Kind: Level, Reload: true, Text: "least level of what goes there"},
	{Name: "log.console.formatter", Kind: Choice, Choices: outputs, Default: "plaintext", Text: "how it looks"},
	{Name: "log.dir", Also: []string{"RABBITMQ_LOG_BASE"}, Text: "directory of log files"},
	{Name: "log.file", Also: []string{"RABBITMQ_LOGS"}, Text: "file that the log goes to, too; false, or - in the environment: none"},
	{Name: "log.file.level", Kind: Level, Reload: true, Text: "least level of what goes there"},
	{Name: "log.file.formatter", Kind: Choice, Choices: outputs, Default: "plaintext", Text: "how it looks"},
	{Name: "log.exchange", Kind: Boolean, Default: "true", Text: "changes nothing: amq.rabbitmq.log is there, and used as soon as a queue is bound to it"},
	{Name: "log.default.level", Kind: Level, Reload: true, Text: "least level of what has no level of its own below; without it the least of the two above, else info"},
	{Name: "log.connection.level", Kind: Level, Reload: true, Text: "level of what connections do"},
	{Name: "log.channel.level", Kind: Level, Reload: true, Text: "level of what channels do"},
	{Name: "log.queue.level", Kind: Level, Reload: true, Text: "level of what queues and their groups do"},
	{Name: "log.user.level", Kind: Level, Reload: true, Text: "level of logins"},
	{Name: "log.ra.level", Kind: Level, Reload: true, Text: "level of the replicated log"},
	{Name: "log.federation.level", Kind: Level, Reload: true, Text: "level of federation"},
	{Name: "log.audit", Text: "file that the audit log goes to, a JSON object a line; - puts it in the log; without it there is none"},
}
