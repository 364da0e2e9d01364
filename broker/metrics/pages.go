package metrics

import (
	"github.com/warrenmq/warren/broker/topology"
)

// pages are what can be asked for, by what stands behind the path.
var pages = map[string]func(*Server, *page, filter){
	"":           func(s *Server, p *page, _ filter) { s.overall(p, s.PerObject) },
	"per-object": func(s *Server, p *page, _ filter) { s.overall(p, true) },
	"detailed":   (*Server).detailed,
}

// prefix begins RabbitMQ's names.
const prefix = "rabbitmq_"

// overall writes everything: added up, or object by object.
func (s *Server) overall(p *page, objects bool) {
	all := s.look()
	s.identity(p, all.catalog, map[bool]string{true: "per-object", false: "aggregated"}[objects])
	s.totals(p, all)
	p.numbers(prefix, churn(&all.board.Churn))
	p.numbers(prefix, s.coarse())
	p.numbers(prefix, s.bounds())
	p.numbers(prefix, s.persister())
	s.raft(p, prefix)
	if objects {
		s.everyObject(p, all)
	} else {
		s.addedUp(p, all)
	}
	global(p, all)
	s.alarms(p)
	s.own(p)
}

// addedUp writes the families of objects as numbers of the node.
func (s *Server) addedUp(p *page, all *picture) {
	sums := s.sums(p.ctx, all.catalog, queueFamilies)
	for i := range queueFamilies {
		queueFamilies[i].total(p, all, sums[i])
	}
	total(p, all, channelFamilies, all.channels)
	total(p, all, connectionFamilies, all.connections)
	total(p, all, exchangeFamilies, nil)
}

func total[T any](p *page, all *picture, families []family[T], objects []T) {
	sums := zeros(families)
	for i := range families {
		for j := range objects {
			families[i].add(sums[i], &objects[j])
		}
		families[i].total(p, all, sums[i])
	}
}

// everyObject writes the families of objects, object by object.
func (s *Server) everyObject(p *page, all *picture) {
	everything := &filter{}
	queues := s.queues(p.ctx, all.catalog, everything)
	wanted(p, prefix, nil, queueFamilies, queues, queueLabels)
	queueInfo(p, prefix, queues)
	wanted(p, prefix, nil, channelFamilies, all.channels, channelLabels)
	wanted(p, prefix, nil, connectionFamilies, all.connections, connectionLabels)
	wanted(p, prefix, nil, exchangeFamilies, all.exchanges(everything), exchangeLabels)
}

// wanted writes the families that are asked for, or all.
func wanted[T any](p *page, prefix string, names map[string]bool, families []family[T], objects []T, labels func(*T) string) {
	for i := range families {
		if names == nil || names[families[i].name] {
			families[i].each(p, prefix, objects, labels)
		}
	}
}

// anyOf tells whether one of the families is asked for.
func anyOf[T any](names map[string]bool, families []family[T]) bool {
	for i := range families {
		if names[families[i].name] {
			return true
		}
	}
	return false
}

// detailed writes the families that are asked for, of the objects that are.
func (s *Server) detailed(p *page, f filter) {
	const prefix = "rabbitmq_detailed_"
	all := s.look()
	names := f.families
	if names["queue_metrics"] { // has those too
		names["queue_consumer_count"] = true
	}
	for name, numbers := range map[string]func() []number{
		"connection_churn_metrics": func() []number { return churn(&all.board.Churn) }, "node_coarse_metrics": s.coarse,
		"node_metrics": s.bounds, "node_persister_metrics": s.persister,
	} {
		if names[name] {
			p.numbers(prefix, numbers())
		}
	}
	if names["ra_metrics"] {
		s.raft(p, prefix)
	}
	if anyOf(names, queueFamilies) {
		queues := s.queues(p.ctx, all.catalog, &f)
		wanted(p, prefix, names, queueFamilies, queues, queueLabels)
		if names["queue_coarse_metrics"] || names["queue_consumer_count"] {
			queueInfo(p, prefix, queues)
		}
	}
	wanted(p, prefix, names, channelFamilies, all.channels, channelLabels)
	wanted(p, prefix, names, connectionFamilies, all.connections, connectionLabels)
	wanted(p, prefix, names, exchangeFamilies, all.exchanges(&f), exchangeLabels)
	cluster(p, all.catalog, &f)
	s.identity(p, all.catalog, "detailed")
}

// cluster writes what is the same on all nodes: vhosts and exchanges.
func cluster(p *page, c *topology.Catalog, f *filter) {
	const prefix = "rabbitmq_cluster_"
	if f.families["vhost_status"] {
		p.head(prefix+"vhost_status", gauge, "Whether a given vhost is running")
		c.VHosts(func(v *topology.VHost) bool {
			if f.wants(v.Name) {
				p.series(prefix+"vhost_status", label("vhost", v.Name), 1)
			}
			return p.ctx.Err() == nil
		})
	}
	exchanges := func(name, help string, value func(*topology.Exchange) float64) {
		p.head(prefix+name, gauge, help)
		c.VHosts(func(v *topology.VHost) bool {
			v.Exchanges(func(x *topology.Exchange) bool {
				if f.wants(v.Name) && x.Name != "" && !x.Internal {
					p.series(prefix+name, label("vhost", v.Name, "exchange", x.Name, "type", x.Type), value(x))
				}
				return p.ctx.Err() == nil
			})
			return p.ctx.Err() == nil
		})
	}
	if f.families["exchange_bindings"] {
		exchanges("exchange_bindings", "Number of bindings for an exchange", func(x *topology.Exchange) (n float64) {
			x.Outgoing(func(*topology.Edge) bool { n++; return true })
			return n
		})
	}
	if f.families["exchange_names"] {
		exchanges("exchange_name", "Enumerates exchanges without any additional info", func(*topology.Exchange) float64 { return 1 })
	}
}
