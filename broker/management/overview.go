package management

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/matching"
	"github.com/warrenmq/warren/broker/stats"
)

func overviewRoutes() []route {
	return []route{
		{"GET", "/overview", anyUser, (*request).overview, "The node at a glance"},
		{"GET", "/nodes", monitor, (*request).listNodes, "The nodes"},
		{"GET", "/nodes/{node}", monitor, (*request).getNode, "A node"},
		{"GET", "/nodes/{node}/memory", monitor, (*request).nodeMemory, "What a node's memory is used for"},
		{"GET", "/nodes/{node}/memory/relative", monitor, (*request).nodeMemoryShares, "The same in percent"},
		{"GET", "/nodes/{node}/memory/ets", monitor, (*request).nodeTables, "Erlang's tables: there are none"},
		{"GET", "/nodes/{node}/memory/ets/relative", monitor, (*request).nodeTables, "Erlang's tables: there are none"},
		{"GET", "/nodes/{node}/memory/ets/{filter}", monitor, (*request).nodeTables, "Erlang's tables: there are none"},
		{"GET", "/nodes/{node}/memory/ets/{filter}/relative", monitor, (*request).nodeTables, "Erlang's tables: there are none"},
	}
}

// retention is for how many seconds samples are kept, by what they are of.
var retention = object{"global": []int{600, 3600, 28800, 86400}, "basic": []int{600, 3600}, "detailed": []int{600}}

func (q *request) overview() (answer, error) {
	s := q.server
	o := s.platform()
	for key, value := range map[string]any{
		"management_version": s.Version, "rates_mode": "basic", "sample_retention_policies": retention,
		"exchange_types": exchangeTypes(), "product_version": s.Version, "product_name": s.Product,
		"cluster_name": q.catalog.ClusterName(s.Cluster), "cluster_tags": object{}, "node_tags": object{}, "node": s.Node,
		"disable_stats": q.asked("disable_stats"), "default_queue_type": s.DefaultQueueType,
		"is_op_policy_updating_enabled": true, "enable_queue_totals": false, "require_definition_json_extension": false,
	} {
		o[key] = value
	}
	here, bare := q.share(), q.asked("disable_stats")
	o["object_totals"] = whole(here.Totals)
	if bare {
		return ok(o)
	}
	o["statistics_db_event_queue"] = 0
	if q.monitors() {
		o["listeners"], o["contexts"] = here.Listeners, here.Contexts
		o["churn_rates"] = whole(here.Churn)
	}
	o["queue_totals"], o[messageStatsField] = whole(here.Queues), whole(here.Messages)
	return ok(o)
}

func (s *Server) churnRates(a ages) object {
	o := object{}
	v := s.sampler.total.View(thisNode)
	for i, n := range churn(&s.Registry.Board.Churn) {
		o[churnNames[i]] = n
		o[churnNames[i]+"_details"] = details(v, a.messages, int(stats.Kinds)+lengths+i)
	}
	return o
}

// platform is what RabbitMQ tells of Erlang, in terms of Go.
func (s *Server) platform() object {
	return object{
		"rabbitmq_version": s.Version, "erlang_version": runtime.Version(),
		"erlang_full_version": "Warren on " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		"crypto_lib_version":  "Go crypto " + runtime.Version(),
	}
}

func exchangeTypes() []object {
	list := []object{}
	for _, k := range matching.Kinds() {
		list = append(list, object{"name": k.Name, "description": exchangeDescriptions[k.Name], "enabled": true})
	}
	return list
}

// exchangeDescriptions say what the exchange types are.
var exchangeDescriptions = map[string]string{
	"direct": "AMQP direct exchange, as per the AMQP specification", "fanout": "AMQP fanout exchange, as per the AMQP specification",
	"headers": "AMQP headers exchange, as per the AMQP specification", "topic": "AMQP topic exchange, as per the AMQP specification",
	"x-consistent-hash": "Consistent Hashing Exchange", "x-modulus-hash": "Modulus Hashing Exchange",
	"x-local-random": "Picks one random local binding (queue) to route via (to).", "x-random": "Randomly picks a binding (queue) to route via (to).",
	"x-recent-history": "Recent History Exchange.", "x-delayed-message": "Delayed Message Exchange.",
	"x-message-deduplication": "Message Deduplication Exchange.",
}

func (s *Server) listeners() []object {
	list := []object{}
	for _, l := range s.Listeners() {
		host, port := hostPort(l.Addr)
		list = append(list, object{
			"node": s.Node, "protocol": l.Protocol, "ip_address": host, "port": port, "socket_opts": object{},
			"tls": l.Protocol == "amqp/ssl" || strings.HasPrefix(l.Protocol, "https"),
		})
	}
	return list
}

func (s *Server) contexts() []object {
	list := []object{}
	for _, l := range s.Listeners() {
		if host, port := hostPort(l.Addr); l.Protocol == "http" || l.Protocol == "https" {
			list = append(list, object{
				"node": s.Node, "description": "RabbitMQ Management", "path": "/", "ip": host, "port": strconv.Itoa(port), "ssl_opts": []any{},
			})
		}
	}
	return list
}

// notNil makes no list an empty one.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *Server) nodeObject(a ages) object {
	o := s.platform()
	memoryLimit, diskLimit := s.Limits()
	for key, value := range map[string]any{
		"name": s.Node, "type": "disc", "running": true, "being_drained": false, "os_pid": strconv.Itoa(os.Getpid()),
		"warren_version": s.Own, "uptime": time.Since(s.Started).Milliseconds(), "run_queue": 0, "processors": runtime.GOMAXPROCS(0),
		"rates_mode": "basic", "net_ticktime": 60, "mem_calculation_strategy": "rss",
		"mem_limit": orAll(memoryLimit), "mem_alarm": s.Alarms.Raised(limits.Memory),
		"disk_free_limit": diskLimit, "disk_free_alarm": s.Alarms.Raised(limits.Disk),
		"fd_total": limits.OpenFilesMax(), "sockets_total": limits.OpenFilesMax(), "proc_used": runtime.NumGoroutine(), "proc_total": goroutinesMax,
		"proc_used_details": object{"rate": float(0)}, "damage": s.damages(), "partitions": []any{}, "cluster_links": []any{},
		"enabled_plugins": []string{"rabbitmq_management"}, "auth_mechanisms": s.mechanisms(), "exchange_types": exchangeTypes(),
		"applications": []object{{"name": "rabbit", "description": s.Product, "version": s.Version}, {"name": "rabbitmq_management", "description": "RabbitMQ Management Console", "version": s.Version}},
		"contexts":     s.contexts(), "log_files": notNil(s.LogFiles), "db_dir": s.DataDir, "config_files": notNil(s.ConfigFiles),
		"ra_open_file_metrics": object{"ra_log_wal": 0, "ra_log_segment_writer": 0}, "metrics_gc_queue_length": object{},
	} {
		o[key] = value
	}
	for key, value := range s.churnRates(a) {
		o[key] = value
	}
	v := s.sampler.node.View(thisNode)
	for i, name := range [nodeNumbers]string{"mem_used", "disk_free", "fd_used", "sockets_used"} {
		n, _ := v.At(i, v.Last())
		o[name], o[name+"_details"] = n, details(v, a.node, i)
	}
	for _, name := range nothingCounted {
		o[name], o[name+"_details"] = 0, object{"rate": float(0)}
	}
	return o
}

// goroutinesMax is how many there may be, for those who compare: Go has no limit, memory has.
const goroutinesMax = 1 << 20

// nothingCounted are numbers of Erlang's runtime and of RabbitMQ's stores.
var nothingCounted = []string{
	"gc_num", "gc_bytes_reclaimed", "context_switches", "io_read_count", "io_read_bytes", "io_read_avg_time",
	"io_write_count", "io_write_bytes", "io_write_avg_time", "io_sync_count", "io_sync_avg_time", "io_seek_count",
	"io_seek_avg_time", "io_reopen_count", "mnesia_ram_tx_count", "mnesia_disk_tx_count", "msg_store_read_count",
	"msg_store_write_count", "queue_index_write_count", "queue_index_read_count",
}

// orAll is a limit on memory; without one it is all there is.
func orAll(limit uint64) uint64 {
	if limit > 0 {
		return limit
	}
	total, _ := limits.TotalMemory() // what cannot be measured is 0
	return total
}

func (s *Server) mechanisms() []object {
	return []object{
		{"name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true},
		{"name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true},
		{"name": "ANONYMOUS", "description": "SASL ANONYMOUS authentication mechanism", "enabled": s.Authority.Anonymous != ""},
	}
}

// erlangParts are parts of RabbitMQ's memory that clients expect to be named, and that are nothing here.
var erlangParts = []string{
	"atom", "metadata_store", "metadata_store_ets", "mnesia", "msg_index", "other_ets", "quorum_ets", "quorum_queue_dlx_procs",
	"stream_queue_coordinator_procs", "stream_queue_replica_reader_procs",
}

// memoryParts is what Go knows of the process's memory. Bytes.
func memoryParts() (parts map[string]uint64, total uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	resident, err := limits.ResidentMemory()
	if err != nil {
		resident = m.Sys
	}
	parts = map[string]uint64{
		"binary": m.HeapInuse, "code": 0, "connection_readers": 0, "connection_writers": 0, "connection_channels": 0,
		"connection_other": m.StackInuse, "queue_procs": 0, "quorum_queue_procs": 0, "stream_queue_procs": 0, "plugins": 0,
		"metrics": m.BuckHashSys, "mgmt_db": 0, "other_proc": m.MSpanInuse + m.MCacheInuse, "other_system": m.OtherSys + m.GCSys,
		"allocated_unused": m.HeapIdle - m.HeapReleased, "reserved_unallocated": m.HeapReleased,
	}
	for _, name := range erlangParts {
		parts[name] = 0
	}
	return parts, resident
}

func (q *request) nodeMemory() (answer, error) {
	parts, total, err := q.memoryOf()
	if err != nil {
		return answer{}, err
	}
	o := object{"strategy": "rss", "total": object{"rss": total, "allocated": total, "erlang": total}}
	for name, n := range parts {
		o[name] = n
	}
	return ok(object{"memory": o})
}

func (q *request) nodeMemoryShares() (answer, error) {
	parts, total, err := q.memoryOf()
	if err != nil {
		return answer{}, err
	}
	o := object{"total": 100}
	for name, n := range parts {
		o[name] = (n*100 + total/2) / max(total, 1)
	}
	return ok(object{"memory": o})
}

func (q *request) nodeTables() (answer, error) {
	if err := q.knownNode(); err != nil {
		return answer{}, err
	}
	return ok(object{"ets_tables_memory": "no_tables"})
}
