package management

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/topology"
)

func variousRoutes() []route {
	return []route{
		{"GET", "/whoami", anyUser, (*request).whoami, "The user who asks"},
		{"GET", "/version", nobody, (*request).version, "The version of RabbitMQ that the broker behaves like"},
		{"GET", "/extensions", anyUser, (*request).extensions, "The parts of the web page"},
		{"POST", "/login", nobody, (*request).logIn, "Check the credentials in a form"},
		{"GET", "/auth/attempts/{node}", monitor, (*request).listAttempts, "Login attempts, by protocol"},
		{"DELETE", "/auth/attempts/{node}", administrator, (*request).forgetAttempts, "Forget the login attempts"},
		{"GET", "/auth/attempts/{node}/source", monitor, (*request).listAttempts, "Login attempts, by where they came from"},
		{"DELETE", "/auth/attempts/{node}/source", administrator, (*request).forgetAttempts, "Forget the login attempts"},
		{"GET", "/auth/hash_password/{password}", administrator, (*request).hashPassword, "The hash of a password"},
		{"GET", "/config/effective", administrator, (*request).effectiveConfig, "What the node is configured with"},
		{"POST", "/rebalance/queues", administrator, (*request).rebalance, "Spread the leaders of queues evenly"},
		{"DELETE", "/reset", administrator, (*request).reset, "Forget statistics"},
		{"DELETE", "/reset/{node}", administrator, (*request).resetNode, "Forget the statistics of a node"},
		{"GET", "/feature-flags", anyUser, (*request).listFeatures, "The features there are: all are on"},
		{"PUT", "/feature-flags/{name}/enable", administrator, (*request).enableFeature, "Switch a feature on"},
		{"GET", "/deprecated-features", anyUser, (*request).listDeprecated, "Features that will go"},
		{"GET", "/deprecated-features/used", anyUser, (*request).listUsedDeprecated, "Those of them that are in use"},
		{"GET", "/federation-links", anyUser, (*request).nothing, "Federation links: there are none"},
		{"GET", "/federation-links/{vhost}", vhostMonitor, (*request).nothing, "Federation links: there are none"},
		{"GET", "/federation-links/state/down", anyUser, (*request).nothing, "Federation links that are down"},
		{"GET", "/federation-links/{vhost}/state/down", vhostMonitor, (*request).nothing, "Federation links that are down"},
		{"GET", "/shovels", anyUser, (*request).nothing, "Shovels: there are none"},
		{"GET", "/shovels/{vhost}", vhostMonitor, (*request).nothing, "Shovels: there are none"},
		{"GET", "/stream/connections", anyUser, (*request).nothing, "Connections with the stream protocol: there are none"},
		{"GET", "/stream/publishers", anyUser, (*request).nothing, "Publishers with the stream protocol: there are none"},
		{"GET", "/stream/consumers", anyUser, (*request).nothing, "Consumers with the stream protocol: there are none"},
		{"PUT", "/stream/super-streams/{vhost}/{name}", vhostUser, (*request).putSuperStream, "Declare a stream in partitions"},
		{"GET", "/openapi.json", nobody, (*request).openAPI, "This description"},
	}
}

func (q *request) nothing() (answer, error) { return ok([]any{}) }

func (q *request) whoami() (answer, error) {
	tags := []string{tagAdministrator} // who is in no list of users is the operator
	if u := q.catalog.User(q.principal.Name()); u != nil {
		tags = append([]string{}, u.Tags...)
	}
	return ok(object{"name": q.principal.Name(), "tags": tags, "is_internal_user": true})
}

func (q *request) version() (answer, error) { return ok(q.server.Version) }

func (q *request) extensions() (answer, error) { return ok([]object{{"javascript": "dispatcher.js"}}) }

// formMax is the largest form there may be. Bytes.
const formMax = 64 << 10

// logIn checks the credentials in a form, as the web page sends them.
func (q *request) logIn() (answer, error) {
	data, err := q.raw(formMax)
	if err != nil {
		return answer{}, err
	}
	form, err := url.ParseQuery(string(data))
	if err != nil {
		return answer{}, badRequest("the form cannot be read")
	}
	_, err = q.server.Authority.Password(form.Get("username"), form.Get("password"), q.peer())
	switch {
	case errors.Is(err, auth.ErrLoopback):
		return answer{}, unauthorised("User can only log in via localhost")
	case err != nil:
		return answer{}, unauthorised("Not_Authorized")
	}
	return ok("ok")
}

func (q *request) listAttempts() (answer, error) {
	if err := q.knownNode(); err != nil {
		return answer{}, err
	}
	return q.nothing()
}

func (q *request) forgetAttempts() (answer, error) {
	if err := q.knownNode(); err != nil {
		return answer{}, err
	}
	return done()
}

func (q *request) hashPassword() (answer, error) {
	hash, err := auth.Hash(auth.SHA256, q.values["password"])
	if err != nil {
		return answer{}, err
	}
	return ok(object{"ok": hash})
}

func (q *request) effectiveConfig() (answer, error) {
	s := q.server
	if s.Settings != nil {
		settings := object{}
		for key, value := range s.Settings() {
			settings[key] = value
		}
		return ok(settings)
	}
	memory, disk := s.Limits()
	return ok(object{
		"node": s.Node, "data_dir": s.DataDir, "vm_memory_high_watermark": memory, "disk_free_limit": disk,
		"default_queue_type": s.DefaultQueueType, "connection_max": s.MaxConnections,
	})
}

func (q *request) reset() (answer, error) { return done() }

func (q *request) resetNode() (answer, error) {
	if err := q.knownNode(); err != nil {
		return answer{}, err
	}
	return done()
}

// features are the feature flags that clients ask about.
var features = []string{
	"classic_queue_type_delivery_support", "detailed_queues_endpoint", "direct_exchange_routing_v2", "drop_unroutable_metric",
	"empty_basic_get_metric", "feature_flags_v2", "implicit_default_bindings", "khepri_db", "maintenance_mode_status",
	"message_containers", "quorum_queue", "rabbit_exchange_type_local_random", "rabbitmq_4.0.0", "rabbitmq_4.1.0",
	"rabbitmq_4.2.0", "rabbitmq_4.3.0", "restart_streams", "stream_filtering", "stream_queue",
	"stream_single_active_consumer", "user_limits", "virtual_host_metadata",
}

func (q *request) listFeatures() (answer, error) {
	list := []object{}
	for _, name := range features {
		list = append(list, object{
			"name": name, "desc": "", "doc_url": "", "state": "enabled", "stability": "required", "require_level": "hard",
			"experiment_level": "supported", "callbacks": []any{}, "provided_by": "rabbit",
		})
	}
	return ok(listOf(list))
}

func (q *request) enableFeature() (answer, error) {
	for _, name := range features {
		if name == q.values["name"] {
			return done()
		}
	}
	return answer{}, badRequest("unsupported")
}

func (q *request) listDeprecated() (answer, error) {
	return q.deprecated(func(string) bool { return true })
}

// listUsedDeprecated knows of transient queues only: who uses the others leaves no trace.
func (q *request) listUsedDeprecated() (answer, error) {
	transient := false
	q.catalog.VHosts(func(v *topology.VHost) bool {
		v.Queues(func(one *topology.Queue) bool {
			transient = !one.Durable && !one.Exclusive
			return !transient
		})
		return !transient
	})
	return q.deprecated(func(name string) bool { return transient && name == "transient_nonexcl_queues" })
}

// deprecated lists the deprecated features that are asked for.
func (q *request) deprecated(asked func(name string) bool) (answer, error) {
	list := []object{}
	for _, f := range []struct{ name, phase string }{
		{"queue_master_locator", "denied_by_default"}, {"global_qos", "denied_by_default"},
		{"management_metrics_collection", "permitted_by_default"}, {"transient_nonexcl_queues", "permitted_by_default"},
		{"classic_queue_mirroring", "removed"}, {"ram_node_type", "removed"},
	} {
		if !asked(f.name) {
			continue
		}
		state := "permitted"
		if f.phase == "removed" || q.server.Forbidden[f.name] {
			state = "denied"
		}
		list = append(list, object{
			"name": f.name, "state": state, "desc": "", "deprecation_phase": f.phase, "doc_url": "", "provided_by": "rabbit",
		})
	}
	return ok(listOf(list))
}

// partitionsMax bounds the streams that one request declares.
const partitionsMax = 1000

// putSuperStream declares a stream for each partition, and a direct exchange before them.
func (q *request) putSuperStream() (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	vhost, name := q.values["vhost"], q.values["name"]
	keys, err := partitionKeys(body)
	if err != nil {
		return answer{}, err
	}
	raw, isObject := body["arguments"].(object)
	if !isObject {
		raw = object{}
	}
	raw["x-queue-type"] = "stream"
	if _, err := q.declareExchange(vhost, name, object{"durable": true, "arguments": object{"x-super-stream": true}}); err != nil {
		return answer{}, err
	}
	for i, key := range keys {
		partition := name + "-" + key
		if _, err := q.declareQueue(vhost, partition, object{"durable": true, "arguments": raw}); err != nil {
			return answer{}, err
		}
		_, err := q.makeBinding(vhost, object{
			"source": name, "destination": partition, "destination_type": "queue", "routing_key": key,
			"arguments": object{"x-stream-partition-order": number64(i)},
		})
		if err != nil {
			return answer{}, err
		}
	}
	return done()
}

// partitionKeys are the routing keys of a super stream: given between commas, or as many numbers.
func partitionKeys(body object) ([]string, error) {
	if given, isText := body["binding-keys"].(string); isText && given != "" {
		return readTags(given)
	}
	n := int64(3)
	switch v := body["partitions"].(type) {
	case nil:
	case string:
		parsed, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, badRequest("partitions should be a number")
		}
		n = parsed
	default:
		parsed, isInteger := integer(v)
		if !isInteger {
			return nil, badRequest("partitions should be a number")
		}
		n = parsed
	}
	if n < 1 || n > partitionsMax {
		return nil, badRequest(fmt.Sprintf("there may be 1 to %d partitions", partitionsMax))
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = itoa(i)
	}
	return keys, nil
}

// quorumQueue finds the queue of the path, which has to be a quorum queue.
func (q *request) quorumQueue() (*topology.Queue, error) {
	one, err := q.queue()
	if err != nil {
		return nil, err
	}
	if one.Type != "quorum" {
		return nil, failed(one.Type+"_queue_not_supported", nil)
	}
	return one, nil
}

// growReplicas has no second node to put replicas on, or the cluster has done so already.
func (q *request) growReplicas() (answer, error) {
	if _, err := q.body("vhost_pattern", "queue_pattern", "strategy"); err != nil {
		return answer{}, err
	}
	if !q.server.Nodes.single() {
		return answer{}, badRequest(replicas)
	}
	return ok([]any{})
}

func (q *request) shrinkReplicas() (answer, error) {
	if !q.server.Nodes.single() {
		return answer{}, badRequest(replicas)
	}
	return answer{status: http.StatusAccepted}, nil
}
