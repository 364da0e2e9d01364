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

// memberMetrics are about the members of groups that are led here.
var memberMetrics = []struct {
	name  string
	help  string
	value func(*GroupProgress) float64
}{
	{"members", "Members of a group that vote", func(g *GroupProgress) float64 { return float64(g.Members) }},
	{"member_lag_entries", "Entries that the slowest of the other members does not have yet", func(g *GroupProgress) float64 { return float64(g.Behind) }},
	{"member_silent_seconds", "Time since the other member was heard of which nothing was heard for the longest", func(g *GroupProgress) float64 { return g.Silent.Seconds() }},
}

// members writes how far the other members are of the groups that are led here: each group of the cluster is on one node's page.
func members(p *page, groups []GroupProgress) {
	for _, m := range memberMetrics {
		p.head("warren_group_"+m.name, gauge, m.help)
		for i := range groups {
			if groups[i].Leads {
				p.series("warren_group_"+m.name, label("group", strconv.FormatUint(groups[i].Group, 10)), m.value(&groups[i]))
			}
		}
	}
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
