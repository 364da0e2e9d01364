package metrics

import (
	"encoding/json"
	"runtime"
	"strconv"
	"time"

	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

// number is a number of the node.
type number struct {
	name  string
	kind  kind
	help  string
	value float64
}

func (p *page) numbers(prefix string, list []number) {
	for i := range list {
		n := &list[i]
		p.one(prefix+n.name, n.kind, n.help, n.value)
	}
}

// churn is what came and went.
func churn(c *stats.Churn) []number {
	return []number{
		{"connections_opened_total", counter, "Connections that were opened", float64(c.ConnectionsCreated.Load())},
		{"connections_closed_total", counter, "Connections that were closed", float64(c.ConnectionsClosed.Load())},
		{"channels_opened_total", counter, "Channels that were opened", float64(c.ChannelsCreated.Load())},
		{"channels_closed_total", counter, "Channels that were closed", float64(c.ChannelsClosed.Load())},
		{"queues_declared_total", counter, "Declarations of queues", float64(c.QueuesDeclared.Load())},
		{"queues_created_total", counter, "Queues that were created", float64(c.QueuesCreated.Load())},
		{"queues_deleted_total", counter, "Queues that were deleted", float64(c.QueuesDeleted.Load())},
	}
}

// coarse is what the process takes now. What cannot be measured is 0.
func (s *Server) coarse() []number {
	files, _ := limits.OpenFiles()
	memory, _ := limits.ResidentMemory()
	free, _, _ := limits.DiskSpace(s.DataDir)
	return []number{
		{"process_open_fds", gauge, "Open file descriptors", float64(files)},
		{"process_resident_memory_bytes", gauge, "Memory the process holds", float64(memory)},
		{"disk_space_available_bytes", gauge, "Free disk space", float64(free)},
	}
}

// bounds is what the process may take.
func (s *Server) bounds() []number {
	memory, disk := s.Limits()
	if memory == 0 { // no bound but what there is
		memory, _ = limits.TotalMemory()
	}
	return []number{
		{"process_max_fds", gauge, "Limit of open file descriptors", float64(limits.OpenFilesMax())},
		{"resident_memory_limit_bytes", gauge, "Memory from which on publishers are blocked", float64(memory)},
		{"disk_space_available_limit_bytes", gauge, "Free disk space below which publishers are blocked", float64(disk)},
		{"erlang_uptime_seconds", gauge, "Node uptime", time.Since(s.Started).Seconds()},
	}
}

// persister is what the disk had to do.
func (s *Server) persister() []number {
	if s.Storage == nil {
		return nil
	}
	u := s.Storage()
	return []number{
		{"io_write_bytes_total", counter, "Bytes written to the disk", float64(u.Written)},
		{"io_sync_ops_total", counter, "Syncs of the log", float64(u.Syncs)},
		{"io_sync_time_seconds_total", counter, "Time that these syncs took", u.SyncSeconds},
	}
}

// totals is how many there are.
func (s *Server) totals(p *page, all *picture) {
	queues := 0
	all.catalog.VHosts(func(v *topology.VHost) bool {
		queues += v.QueueCount()
		return true
	})
	p.numbers("rabbitmq_", []number{
		{"connections", gauge, "Connections currently open", float64(len(all.connections))},
		{"channels", gauge, "Channels currently open", float64(len(all.channels))},
		{"consumers", gauge, "Consumers currently connected", float64(all.consumers)},
		{"queues", gauge, "Queues available", float64(queues)},
	})
}

// amqp is the label of the protocol that is counted.
const amqp = `protocol="amqp091"`

// global is what went through the node, by protocol and type of queue.
func global(p *page, all *picture) {
	for _, n := range []number{
		{"messages_received_total", counter, "Messages received from publishers", float64(all.total[stats.Publish])},
		{"messages_received_confirm_total", counter, "Messages received from publishers that expect confirms", float64(all.board.Flow.WantConfirm.Load())},
		{"messages_routed_total", counter, "Messages routed to queues or streams", float64(all.board.Flow.Routed.Load())},
		{"messages_unroutable_dropped_total", counter, "Messages dropped because no queue took them", float64(all.total[stats.DropUnroutable])},
		{"messages_unroutable_returned_total", counter, "Mandatory messages returned because no queue took them", float64(all.total[stats.ReturnUnroutable])},
		{"messages_confirmed_total", counter, "Messages confirmed to publishers", float64(all.total[stats.Confirm])},
		{"publishers", gauge, "Channels that have published", float64(all.publishers)},
		{"consumers", gauge, "Consumers", float64(all.consumers)},
	} {
		p.head("rabbitmq_global_"+n.name, n.kind, n.help)
		p.series("rabbitmq_global_"+n.name, amqp, n.value)
	}
	for _, m := range []struct {
		name, help string
		kinds      []stats.Kind
	}{
		{"messages_delivered_total", "Messages delivered to consumers", []stats.Kind{stats.Deliver, stats.DeliverNoAck, stats.Get, stats.GetNoAck}},
		{"messages_delivered_consume_manual_ack_total", "Messages delivered by basic.consume, to be acknowledged", []stats.Kind{stats.Deliver}},
		{"messages_delivered_consume_auto_ack_total", "Messages delivered by basic.consume, acknowledged automatically", []stats.Kind{stats.DeliverNoAck}},
		{"messages_delivered_get_manual_ack_total", "Messages delivered by basic.get, to be acknowledged", []stats.Kind{stats.Get}},
		{"messages_delivered_get_auto_ack_total", "Messages delivered by basic.get, acknowledged automatically", []stats.Kind{stats.GetNoAck}},
		{"messages_get_empty_total", "Calls of basic.get that fetched no message", []stats.Kind{stats.GetEmpty}},
		{"messages_redelivered_total", "Messages delivered once more", []stats.Kind{stats.Redeliver}},
		{"messages_acknowledged_total", "Messages acknowledged by consumers", []stats.Kind{stats.Ack}},
	} {
		p.head("rabbitmq_global_"+m.name, counter, m.help)
		for t := range all.types {
			sum := uint64(0)
			for _, k := range m.kinds {
				sum += all.types[t][k]
			}
			p.series("rabbitmq_global_"+m.name, amqp+`,queue_type="`+erlangTypes[t]+`"`, float64(sum))
		}
	}
	sizes(p, all.board.Flow.Sizes.Load())
}

// sizeLabels are the bounds of the sizes of messages, as RabbitMQ's dashboard asks for them.
var sizeLabels = [...]string{"100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf"}

func sizes(p *page, c stats.Sizes) {
	const name = "rabbitmq_message_size_bytes"
	p.head(name, histogram, "Size of messages received from publishers")
	sum := uint64(0)
	for i, n := range c.Buckets {
		sum += n
		p.series(name+"_bucket", amqp+`,le="`+sizeLabels[i]+`"`, float64(sum))
	}
	p.series(name+"_count", amqp, float64(sum))
	p.series(name+"_sum", amqp, float64(c.Sum))
}

func (s *Server) alarms(p *page) {
	is := map[bool]float64{true: 1}
	p.numbers("rabbitmq_alarms_", []number{
		{"free_disk_space_watermark", untyped, "is 1 if free disk space watermark alarm is in effect", is[s.Alarms.Raised(limits.Disk)]},
		{"memory_used_watermark", untyped, "is 1 if VM memory watermark alarm is in effect", is[s.Alarms.Raised(limits.Memory)]},
	})
}

// identity says which node this is, and which page.
func (s *Server) identity(p *page, c *topology.Catalog, endpoint string) {
	p.head("rabbitmq_build_info", untyped, "RabbitMQ and runtime version info")
	p.series("rabbitmq_build_info", label("rabbitmq_version", s.Version, "prometheus_plugin_version", s.Version,
		"prometheus_client_version", s.Version, "erlang_version", runtime.Version(), "product_version", s.Own, "product_name", "Warren"), 1)
	permanent := ""
	if g := c.Global(topology.ClusterID); g != nil {
		if err := json.Unmarshal(g.Value, &permanent); err != nil {
			permanent = ""
		}
	}
	p.head("rabbitmq_identity_info", untyped, "RabbitMQ node & cluster identity info")
	p.series("rabbitmq_identity_info", label("rabbitmq_node", s.Node, "rabbitmq_cluster", c.ClusterName(s.Cluster),
		"rabbitmq_cluster_permanent_id", permanent, "rabbitmq_endpoint", endpoint), 1)
}

// own is what only Warren has.
func (s *Server) own(p *page) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p.one("process_start_time_seconds", gauge, "Start time of the process since unix epoch in seconds", float64(s.Started.UnixMilli())/1000)
	p.numbers("warren_", []number{
		{"goroutines", gauge, "Goroutines", float64(runtime.NumGoroutine())},
		{"heap_bytes", gauge, "Memory that is in use on the heap", float64(m.HeapInuse)},
		{"gc_runs_total", counter, "Garbage collections", float64(m.NumGC)},
		{"gc_pause_seconds_total", counter, "Time the process stood still for them", float64(m.PauseTotalNs) / 1e9},
	})
	s.ways(p)
	if s.Storage == nil {
		return
	}
	u := s.Storage()
	p.numbers("warren_store_", []number{
		{"syncs_total", counter, "Syncs of the log", float64(u.Syncs)},
		{"sync_seconds_total", counter, "Time that these syncs took", u.SyncSeconds},
		{"log_bytes_total", counter, "Bytes written to the log", float64(u.LogBytes)},
		{"written_bytes_total", counter, "Bytes written at all", float64(u.Written)},
		{"disk_bytes", gauge, "Bytes that the data directory takes", float64(u.DiskBytes)},
		{"entry_bytes", gauge, "Bytes of the log's entries that are kept", float64(u.HeldBytes)},
	})
	for _, m := range []struct {
		name  string
		kind  kind
		help  string
		value func(*GroupProgress) uint64
	}{
		{"entries_total", counter, "Entries of a group's log that were applied", func(g *GroupProgress) uint64 { return g.Entries }},
		{"entry_bytes_total", counter, "Bytes of these entries", func(g *GroupProgress) uint64 { return g.Bytes }},
		{"applied_index", gauge, "Newest entry that was applied", func(g *GroupProgress) uint64 { return g.Applied }},
		{"lag_entries", gauge, "Entries that are committed and not applied yet", func(g *GroupProgress) uint64 { return g.Committed - min(g.Applied, g.Committed) }},
		{"cold_reads_total", counter, "Entries that were read from the disk", func(g *GroupProgress) uint64 { return g.ColdReads }},
	} {
		p.head("warren_group_"+m.name, m.kind, m.help)
		for i := range u.Groups {
			p.series("warren_group_"+m.name, label("group", strconv.FormatUint(u.Groups[i].Group, 10)), float64(m.value(&u.Groups[i])))
		}
	}
	members(p, u.Groups)
}
