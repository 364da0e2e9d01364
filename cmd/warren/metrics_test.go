package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/broker/settings"
)

func TestWherePrometheusAsks(t *testing.T) {
	for _, c := range []struct {
		what, file string
		flags      map[string]string
		want       string
		asked      bool
	}{
		{"nothing is said", "", nil, "127.0.0.1:15692", false},
		{"a flag", "", map[string]string{"metrics_listen": "h:1"}, "h:1", true},
		{"nowhere", "", map[string]string{"metrics_listen": ""}, "", true},
		{"RabbitMQ's port", "prometheus.tcp.port = 7", nil, ":7", true},
		{"RabbitMQ's address", "prometheus.tcp.ip = 1.2.3.4", nil, "1.2.3.4:15692", true},
		{"RabbitMQ's listener", "prometheus.tcp.listener = 1.2.3.4", nil, "1.2.3.4:15692", true},
		{"nowhere, as RabbitMQ says it", "prometheus.tcp.listener = none", nil, "", true},
		{"the API's keys are its own", "management.tcp.port = 7", nil, "127.0.0.1:15692", false},
		{"free ports", "", map[string]string{"listen": "127.0.0.1:0"}, "127.0.0.1:0", false},
	} {
		config := configured(t, settings.Sources{Flags: c.flags}, c.file)
		var list []string
		for _, l := range config.Metrics {
			list = append(list, l.Address)
		}
		if got := strings.Join(list, " "); got != c.want || config.MetricsIfFree == c.asked {
			t.Errorf("%s: %q, %v", c.what, got, config.MetricsIfFree)
		}
	}
}

// raftSeries is a series that RabbitMQ's dashboard for raft asks for, of the group that the one queue is in.
func raftSeries(name string) string {
	return "rabbitmq_raft_" + name + `{group="1",ra_system="quorum_queues"}`
}

// TestTheDiskInMetrics: what the store and the log of groups have to do is there, and rises.
func TestTheDiskInMetrics(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir, "--data-dir", "d", "--ready-file", "ready")
	base := "http://" + readyFile(t, filepath.Join(dir, "ready"))["METRICS"]
	page := func() string {
		answer, err := http.Get(base + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	conn := p.dial()
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "q", "x")
	text := page()
	if name := raftSeries("snapshot_index"); !strings.Contains(text, "\n"+name+" 0\n") {
		t.Errorf("%s is not 0 before there is a snapshot", name)
	}
	for _, name := range []string{
		"rabbitmq_io_sync_ops_total", "rabbitmq_io_sync_time_seconds_total", "rabbitmq_io_write_bytes_total", "warren_store_syncs_total",
		"warren_store_log_bytes_total", "warren_store_disk_bytes", raftSeries("term"), raftSeries("commit_index"), raftSeries("last_applied"),
		raftSeries("last_written_index"), raftSeries("commit_latency_seconds"), `warren_group_applied_index{group="1"}`, `warren_group_entries_total{group="1"}`,
		`warren_group_members{group="1"}`,
	} {
		_, value, found := strings.Cut(text, "\n"+name+" ")
		if value, _, _ = strings.Cut(value, "\n"); !found || value == "0" {
			t.Errorf("%s is %q", name, value)
		}
	}
	p.stop()
}
