package metrics

import "strconv"

// raftMetrics are what RabbitMQ's dashboard for raft shows of each of its quorum queues; here the logs of groups have them.
var raftMetrics = []struct {
	name  string
	kind  kind
	help  string
	value func(*GroupProgress) float64
}{
	{"raft_term", counter, "The current term", func(g *GroupProgress) float64 { return float64(g.Term) }},
	{"raft_commit_index", counter, "The current commit index", func(g *GroupProgress) float64 { return float64(g.Committed) }},
	{"raft_last_applied", gauge, "The last applied index", func(g *GroupProgress) float64 { return float64(g.Applied) }},
	{"raft_last_written_index", counter, "The last index of the log that is on the disk", func(g *GroupProgress) float64 { return float64(g.Written) }},
	{"raft_snapshot_index", counter, "The current snapshot index", func(g *GroupProgress) float64 { return float64(g.Snapshot) }},
	{"raft_commit_latency_seconds", gauge, "Time from an entry being written to the log until it is committed, of one entry a moment ago",
		func(g *GroupProgress) float64 { return g.Latency.Seconds() }},
}

// raft writes how far the logs of groups are: a few series, however many queues there are.
func (s *Server) raft(p *page, prefix string) {
	if s.Storage == nil {
		return
	}
	groups := s.Storage().Groups
	for _, m := range raftMetrics {
		p.head(prefix+m.name, m.kind, m.help)
		for i := range groups {
			group := strconv.FormatUint(groups[i].Group, 10)
			p.series(prefix+m.name, label("group", group, "ra_system", "quorum_queues"), m.value(&groups[i]))
		}
	}
}
