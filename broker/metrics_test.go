package broker_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/listen"
	"github.com/warrenmq/warren/broker/metrics"
)

// metered is a broker with an address for Prometheus.
func metered(t *testing.T, change ...func(*broker.Config)) (*broker.Broker, string) {
	t.Helper()
	b := start(t, append(change, func(c *broker.Config) { c.Metrics = []listen.Spec{{Address: "127.0.0.1:0"}} })...)
	for _, l := range b.Listeners() {
		if l.Protocol == "http/prometheus" {
			return b, "http://" + l.Addr.String()
		}
	}
	t.Fatal("there is no listener for Prometheus")
	return nil, ""
}

// read reads a page as Prometheus does.
func read(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%s: %d, %s", address, answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	found, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return found
}

// sum adds up the series of a metric that have all of these labels, name=value; there must be one.
func sum(t *testing.T, page map[string]*dto.MetricFamily, name string, labels ...string) (total float64) {
	t.Helper()
	f, found := page[name], false
	for _, m := range f.GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		fits := true
		for _, l := range labels {
			fits = fits && has[l]
		}
		if !fits {
			continue
		}
		found = true
		total += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
	}
	if !found {
		t.Errorf("there is no %s with %v", name, labels)
	}
	return total
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// traffic publishes, consumes and gets: what the tests below count.
func traffic(t *testing.T, b *broker.Broker) *amqp.Channel {
	t.Helper()
	conn := must[*amqp.Connection](t)(amqp.Dial("amqp://guest:guest@" + b.Addr().String() + "/"))
	t.Cleanup(func() { conn.Close() })
	ch := must[*amqp.Channel](t)(conn.Channel())
	for name, kind := range map[string]string{"orders": "classic", `a "b" \`: "quorum"} {
		must[amqp.Queue](t)(ch.QueueDeclare(name, true, false, false, false, amqp.Table{"x-queue-type": kind}))
	}
	ok(t, ch.Confirm(false))
	publish := func(key string, size int, mandatory bool) {
		c := must[*amqp.DeferredConfirmation](t)(ch.PublishWithDeferredConfirm("", key, mandatory, false, amqp.Publishing{Body: make([]byte, size), DeliveryMode: 2}))
		if !c.Wait() {
			t.Fatal("not confirmed")
		}
	}
	for range 7 {
		publish("orders", 10, false)
	}
	publish(`a "b" \`, 5000, false)
	publish("nowhere", 100, false)
	publish("nowhere", 101, true)
	d := must[<-chan amqp.Delivery](t)(ch.Consume("orders", "c", false, false, false, false, nil))
	for i := range 7 {
		got := <-d
		if i < 3 {
			ok(t, got.Ack(false))
		}
	}
	if _, found, err := ch.Get(`a "b" \`, true); err != nil || !found {
		t.Fatal("nothing to get", err)
	}
	if _, found, err := ch.Get(`a "b" \`, true); err != nil || found {
		t.Fatal("something to get", err)
	}
	return ch
}

// settled waits until a page says what is expected of one metric.
func settled(t *testing.T, address, name string, want float64) map[string]*dto.MetricFamily {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		page := read(t, address)
		if got := sum(t, page, name); got == want || time.Now().After(deadline) {
			if got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			return page
		}
	}
}

// TestPrometheusReads: after some traffic the numbers of the node are what happened.
func TestPrometheusReads(t *testing.T) {
	b, address := metered(t)
	traffic(t, b)
	page := settled(t, address+"/metrics", "rabbitmq_global_messages_acknowledged_total", 3)
	for _, c := range []struct {
		name, labels string
		want         float64
	}{
		{"rabbitmq_connections", "", 1},
		{"rabbitmq_channels", "", 1},
		{"rabbitmq_consumers", "", 1},
		{"rabbitmq_queues", "", 2},
		{"rabbitmq_connections_opened_total", "", 1},
		{"rabbitmq_queues_created_total", "", 2},
		{"rabbitmq_queues_declared_total", "", 2},
		{"rabbitmq_queue_messages_ready", "", 0},
		{"rabbitmq_queue_messages_unacked", "", 4},
		{"rabbitmq_queue_messages", "", 4},
		{"rabbitmq_queue_messages_unacked_bytes", "", 40},
		{"rabbitmq_queue_messages_published_total", "", 8},
		{"rabbitmq_channel_messages_published_total", "", 10},
		{"rabbitmq_channel_messages_unacked", "", 4},
		{"rabbitmq_global_messages_received_total", "protocol=amqp091", 10},
		{"rabbitmq_global_messages_received_confirm_total", "protocol=amqp091", 10},
		{"rabbitmq_global_messages_confirmed_total", "protocol=amqp091", 10},
		{"rabbitmq_global_messages_routed_total", "protocol=amqp091", 8},
		{"rabbitmq_global_messages_unroutable_dropped_total", "", 1},
		{"rabbitmq_global_messages_unroutable_returned_total", "", 1},
		{"rabbitmq_global_messages_delivered_total", "queue_type=rabbit_classic_queue", 7},
		{"rabbitmq_global_messages_delivered_total", "queue_type=rabbit_quorum_queue", 1},
		{"rabbitmq_global_messages_delivered_consume_manual_ack_total", "queue_type=rabbit_classic_queue", 7},
		{"rabbitmq_global_messages_delivered_get_auto_ack_total", "queue_type=rabbit_quorum_queue", 1},
		{"rabbitmq_global_messages_get_empty_total", "queue_type=rabbit_quorum_queue", 1},
		{"rabbitmq_global_publishers", "", 1},
		{"rabbitmq_alarms_memory_used_watermark", "", 0},
		{"rabbitmq_identity_info", "rabbitmq_endpoint=aggregated", 1},
		{"rabbitmq_build_info", "rabbitmq_version=4.3.6", 1},
	} {
		var labels []string
		if c.labels != "" {
			labels = []string{c.labels}
		}
		if got := sum(t, page, c.name, labels...); got != c.want {
			t.Errorf("%s{%s} is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	h := page["rabbitmq_message_size_bytes"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 10 || h.GetSampleSum() != 5271 || h.GetBucket()[0].GetCumulativeCount() != 8 || h.GetBucket()[1].GetCumulativeCount() != 9 {
		t.Errorf("sizes %v", h)
	}
	for name, f := range page {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "queue" || l.GetName() == "channel" || l.GetName() == "connection" {
					t.Errorf("%s has a series for each %s", name, l.GetName())
				}
			}
		}
	}
	b.Alarms().Set(limits.Memory, true)
	if sum(t, read(t, address+"/metrics"), "rabbitmq_alarms_memory_used_watermark") != 1 {
		t.Error("the alarm is not shown")
	}
}

// dashboard is what RabbitMQ's dashboard "RabbitMQ-Overview" asks for: metrics, with the labels it selects by.
var dashboard = strings.Fields(`rabbitmq_build_info rabbitmq_channels rabbitmq_channels_closed_total rabbitmq_channels_opened_total rabbitmq_connections
	rabbitmq_connections_closed_total rabbitmq_connections_opened_total rabbitmq_disk_space_available_bytes rabbitmq_disk_space_available_limit_bytes
	rabbitmq_erlang_uptime_seconds rabbitmq_global_consumers rabbitmq_global_messages_acknowledged_total rabbitmq_global_messages_confirmed_total
	rabbitmq_global_messages_delivered_consume_auto_ack_total rabbitmq_global_messages_delivered_consume_manual_ack_total
	rabbitmq_global_messages_delivered_get_auto_ack_total rabbitmq_global_messages_delivered_get_manual_ack_total rabbitmq_global_messages_delivered_total
	rabbitmq_global_messages_get_empty_total rabbitmq_global_messages_received_confirm_total rabbitmq_global_messages_received_total
	rabbitmq_global_messages_redelivered_total rabbitmq_global_messages_routed_total rabbitmq_global_messages_unroutable_dropped_total
	rabbitmq_global_messages_unroutable_returned_total rabbitmq_global_publishers rabbitmq_identity_info rabbitmq_process_max_fds rabbitmq_process_open_fds
	rabbitmq_process_resident_memory_bytes rabbitmq_queue_messages_ready rabbitmq_queue_messages_unacked rabbitmq_queues rabbitmq_queues_created_total
	rabbitmq_queues_declared_total rabbitmq_queues_deleted_total rabbitmq_resident_memory_limit_bytes
	rabbitmq_message_size_bytes_count rabbitmq_message_size_bytes_sum
	rabbitmq_message_size_bytes_bucket{le="100.0"} rabbitmq_message_size_bytes_bucket{le="1000.0"} rabbitmq_message_size_bytes_bucket{le="10000.0"}
	rabbitmq_message_size_bytes_bucket{le="100000.0"} rabbitmq_message_size_bytes_bucket{le="1e+06"} rabbitmq_message_size_bytes_bucket{le="1e+07"}
	rabbitmq_message_size_bytes_bucket{le="5e+07"} rabbitmq_message_size_bytes_bucket{le="1e+08"} rabbitmq_message_size_bytes_bucket{le="+Inf"}`)

// TestTheDashboardHasData: every series that RabbitMQ's dashboard asks for is there, on a broker where nothing has happened
// too, and under each page that a Prometheus may be pointed to.
func TestTheDashboardHasData(t *testing.T) {
	b, address := metered(t)
	for round := range 2 {
		for _, path := range []string{"/metrics", "/metrics/per-object"} {
			answer := must[*http.Response](t)(http.Get(address + path))
			text := string(must[[]byte](t)(io.ReadAll(answer.Body)))
			answer.Body.Close()
			for _, wanted := range dashboard {
				name, selector, selects := strings.Cut(strings.TrimSuffix(wanted, "}"), "{")
				found := false
				for line := range strings.SplitSeq(text, "\n") {
					found = found || strings.HasPrefix(line, name) && strings.ContainsAny(line[len(name):len(name)+1], " {") && (!selects || strings.Contains(line, selector))
				}
				perQueue := path == "/metrics/per-object" && round == 0 && strings.HasPrefix(name, "rabbitmq_queue_messages")
				if !found && !perQueue {
					t.Errorf("%s has no %s", path, wanted)
				}
			}
		}
		if round == 0 {
			traffic(t, b)
		}
	}
}

// TestEachObject: the numbers of queues, channels, connections and exchanges, names with odd characters included.
func TestEachObject(t *testing.T) {
	b, address := metered(t)
	traffic(t, b)
	settled(t, address+"/metrics", "rabbitmq_global_messages_acknowledged_total", 3)
	page := read(t, address+"/metrics/per-object")
	equal := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := sum(t, page, name, labels...); got != want {
			t.Errorf("%s%v is %v, want %v", name, labels, got, want)
		}
	}
	equal(4, "rabbitmq_queue_messages_unacked", "vhost=/", "queue=orders")
	equal(7, "rabbitmq_queue_messages_delivered_ack_total", "queue=orders")
	equal(1, "rabbitmq_queue_get_total", `queue=a "b" \`)
	equal(1, "rabbitmq_queue_info", `queue=a "b" \`, "queue_type=rabbit_quorum_queue", "membership=leader")
	equal(10, "rabbitmq_channel_messages_published_total")
	equal(1, "rabbitmq_connection_channels")
	equal(10, "rabbitmq_exchange_messages_published_total", "vhost=/")
	equal(1, "rabbitmq_identity_info", "rabbitmq_endpoint=per-object")

	_, address = metered(t, func(c *broker.Config) { c.MetricsSettings = metrics.Settings{Path: "/mq", PerObject: true} })
	page = read(t, address+"/mq")
	equal(1, "rabbitmq_identity_info", "rabbitmq_endpoint=per-object")
}

// TestDetailed: only the families, vhosts and queues that are asked for.
func TestDetailed(t *testing.T) {
	b, address := metered(t)
	traffic(t, b)
	base := address + "/metrics/detailed?"
	page := read(t, base+"family=queue_coarse_metrics&family=queue_consumer_count&vhost=%2F&queue="+url.QueryEscape("^ord"))
	if got := sum(t, page, "rabbitmq_detailed_queue_consumers", "queue=orders"); got != 1 {
		t.Errorf("%v consumers", got)
	}
	for name, f := range page {
		if n := len(f.GetMetric()); strings.HasPrefix(name, "rabbitmq_detailed_queue") && n != 1 {
			t.Errorf("%s has %d series", name, n)
		}
		if strings.Contains(name, "channel") || strings.Contains(name, "published") {
			t.Errorf("%s was not asked for", name)
		}
	}
	if page := read(t, base+"family=queue_coarse_metrics&vhost=other"); len(page["rabbitmq_detailed_queue_messages"].GetMetric()) != 0 {
		t.Error("queues of another vhost")
	}
	page = read(t, base+"family=vhost_status&family=exchange_bindings&family=connection_churn_metrics&family=node_metrics")
	if sum(t, page, "rabbitmq_cluster_vhost_status", "vhost=/") != 1 || sum(t, page, "rabbitmq_detailed_connections_opened_total") != 1 {
		t.Error("vhost or connections are wrong")
	}
	sum(t, page, "rabbitmq_cluster_exchange_bindings", "exchange=amq.topic", "type=topic")
	for _, query := range []string{"queue=(", "queue=a&queue=b", "queue=" + strings.Repeat("x", 2000)} {
		answer := must[*http.Response](t)(http.Get(base + query))
		answer.Body.Close()
		if answer.StatusCode != 400 {
			t.Errorf("%.20s: %d", query, answer.StatusCode)
		}
	}
}

// TestWhoMayRead: everybody, or users who monitor.
func TestWhoMayRead(t *testing.T) {
	_, address := metered(t, func(c *broker.Config) { c.MetricsSettings.Authenticate = true })
	for login, want := range map[string]int{"": 401, "guest:wrong@": 401, "guest:guest@": 200} {
		r := must[*http.Request](t)(http.NewRequestWithContext(context.Background(), "GET", strings.Replace(address, "//", "//"+login, 1)+"/metrics", nil))
		answer := must[*http.Response](t)(http.DefaultClient.Do(r))
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%q: %d, want %d", login, answer.StatusCode, want)
		}
	}
	for path, want := range map[string]int{"/": 404, "/metricsx": 404, "/metrics/memory": 404} {
		answer := must[*http.Response](t)(http.Get(strings.Replace(address, "//", "//guest:guest@", 1) + path))
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// TestTheirAddressIsTaken: a broker that nobody has asked for metrics goes on without, one that was asked says so.
func TestTheirAddressIsTaken(t *testing.T) {
	_, address := metered(t)
	taken := []listen.Spec{{Address: strings.TrimPrefix(address, "http://")}}
	b := start(t, func(c *broker.Config) { c.Metrics, c.MetricsIfFree = taken, true })
	for _, l := range b.Listeners() {
		if l.Protocol == "http/prometheus" {
			t.Errorf("there is %v", l)
		}
	}
	if b, err := broker.Start(context.Background(), broker.Config{Listen: "127.0.0.1:0", Metrics: taken}); err == nil {
		t.Error("a taken address is no error", b.Close())
	}
}
