package metrics

import "strconv"

// ways is what waits for groups on this node, and what was refused.
func (s *Server) ways(p *page) {
	if s.Ways == nil {
		return
	}
	list := s.Ways()
	for _, m := range []struct {
		name  string
		kind  kind
		help  string
		value func(*Way) float64
	}{
		{"refuses", gauge, "1 if what is new for a group is refused here, because it has had no leader for too long", func(w *Way) float64 { return map[bool]float64{true: 1}[w.Refuses] }},
		{"waiting_bytes", gauge, "Bytes on the way to a group that it has not applied", func(w *Way) float64 { return float64(w.Waiting) }},
		{"refused_requests_total", counter, "Consumers, gets and the like that were refused for want of a leader", func(w *Way) float64 { return float64(w.Requests) }},
	} {
		p.head("warren_group_"+m.name, m.kind, m.help)
		for i := range list {
			p.series("warren_group_"+m.name, label("group", strconv.FormatUint(list[i].Group, 10)), m.value(&list[i]))
		}
	}
	const refused = "warren_group_refused_messages_total"
	p.head(refused, counter, "Messages that were refused here, and dropped if nobody waited for a confirm")
	for i := range list {
		group := strconv.FormatUint(list[i].Group, 10)
		p.series(refused, label("group", group, "reason", "leader"), float64(list[i].Leaderless))
		p.series(refused, label("group", group, "reason", "full"), float64(list[i].Full))
	}
}
