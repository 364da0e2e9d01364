package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/warrenmq/warren/broker/metrics"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/store"
)

// usage is what the disk has to do, for Prometheus.
func usage(s *store.Store, host *raftlog.Host) metrics.Storage {
	u := s.Usage()
	m := metrics.Storage{
		Syncs: u.Syncs, SyncSeconds: u.SyncSeconds, LogBytes: u.LogBytes, Written: u.Written, DiskBytes: u.DiskBytes,
		HeldBytes: uint64(max(host.HeldBytes(), 0)),
	}
	status := map[uint64]raftlog.Status{}
	for _, s := range host.Status() {
		status[s.Group] = s
	}
	for _, p := range host.Progress() {
		s := status[p.Group]
		m.Groups = append(m.Groups, progressOf(&p, &s, host.Node))
	}
	slices.SortFunc(m.Groups, func(a, b metrics.GroupProgress) int { return cmp.Compare(a.Group, b.Group) })
	return m
}

// answerTime is how long a new leader waits before it takes a member that has said nothing for one that has nothing.
const answerTime = 2 * time.Second

// progressOf is how far a group is, its other members too if it is led here.
func progressOf(p *raftlog.Progress, s *raftlog.Status, node uint64) metrics.GroupProgress {
	g := metrics.GroupProgress{
		Group: p.Group, Term: p.Term, Written: p.Written, Snapshot: p.Snapshot, Latency: p.Latency, Committed: p.Committed,
		Applied: p.Applied, Entries: p.Entries, Bytes: p.Bytes, ColdReads: p.ColdReads,
		Leads: s.Leader == node, Members: len(s.Voters),
	}
	for _, peer := range s.Peers {
		g.Silent = max(g.Silent, peer.Silent)
		if peer.State != "StateProbe" || peer.Match > 0 || peer.Silent > answerTime {
			g.Behind = max(g.Behind, s.Last-min(peer.Match, s.Last))
		}
	}
	return g
}
