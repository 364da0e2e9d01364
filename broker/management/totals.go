package management

import (
	"context"
	"net/url"

	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

// What is counted on every node is added up where it is asked for.

// shareAsked is a question for a node's share of the overview. VHosts are those of a user who does not monitor.
type shareAsked struct {
	Monitors bool     `json:"monitors"`
	User     string   `json:"user"`
	VHosts   []string `json:"vhosts"`
	Query    string   `json:"query"`
}

// overviewShare is a node's share of the overview.
type overviewShare struct {
	Totals, Queues, Messages, Churn object
	Listeners, Contexts             []object
}

// namesAsked is a question for the numbers of vhosts, or of exchanges: the name of the vhost, or that and its own.
type namesAsked struct {
	Names [][2]string `json:"names"`
	Query string      `json:"query"`
}

var (
	askShare     = question[shareAsked, overviewShare]{name: "overview", answer: (*Server).shareHere}
	askVHosts    = question[namesAsked, []object]{name: "vhosts", answer: (*Server).vhostsHere}
	askExchanges = question[namesAsked, []object]{name: "exchanges", answer: (*Server).exchangesHere}
)

func init() {
	register(askShare)
	register(askVHosts)
	register(askExchanges)
}

// share is what the overview tells of the cluster.
func (q *request) share() overviewShare {
	s := q.server
	asked := shareAsked{Monitors: q.monitors(), User: q.principal.Name(), Query: q.http.URL.RawQuery}
	exchanges, queues := 0, 0
	for _, v := range q.visible() {
		exchanges += v.ExchangeCount()
		queues += v.QueueCount()
		if !asked.Monitors {
			asked.VHosts = append(asked.VHosts, v.Name)
		}
	}
	all, _ := s.shareHere(q.context(), asked) // the query was read before
	if more := askShare.everywhere(q.context(), s, asked); len(more) > 0 {
		all.Totals, all.Queues, all.Messages, all.Churn = plain(all.Totals), plain(all.Queues), plain(all.Messages), plain(all.Churn)
		for _, m := range more {
			add(all.Totals, m.Totals)
			add(all.Queues, m.Queues)
			add(all.Messages, m.Messages)
			add(all.Churn, m.Churn)
			all.Listeners, all.Contexts = append(all.Listeners, m.Listeners...), append(all.Contexts, m.Contexts...)
		}
	}
	all.Totals["exchanges"], all.Totals["queues"] = exchanges, queues
	return all
}

// shareHere is what the overview tells of this node: who monitors sees its counts and lengths, others those of their vhosts.
func (s *Server) shareHere(_ context.Context, asked shareAsked) (overviewShare, error) {
	query, err := url.ParseQuery(asked.Query)
	if err != nil {
		return overviewShare{}, err
	}
	a := agesOf(query)
	o := overviewShare{
		Totals: s.objectTotals(&asked), Queues: object{"messages": 0, "messages_ready": 0, "messages_unacknowledged": 0},
		Listeners: s.listeners(), Contexts: s.contexts(),
	}
	if !asked.Monitors {
		var c stats.Counts
		for _, name := range asked.VHosts {
			one := s.Registry.Board.VHost(name).Load()
			for k := range c {
				c[k] += one[k]
			}
		}
		o.Messages = messageStats(c, stats.View{}, a)
		return o, nil
	}
	v := s.sampler.total.View(thisNode)
	if !v.Empty() {
		for i, name := range lengthNames {
			at := int(stats.Kinds) + i
			n, _ := v.At(at, v.Last())
			o.Queues[name], o.Queues[name+detailsSuffix] = n, details(v, a.lengths, at)
		}
	}
	o.Messages, o.Churn = messageStats(s.Registry.Board.Total(), v, a), s.churnRates(a)
	return o, nil
}

// objectTotals counts what the user may see of this node.
func (s *Server) objectTotals(asked *shareAsked) object {
	connections, channels, consumers := 0, 0, int64(0)
	s.Registry.Each(func(c *session.Session) {
		if i := c.Info(); asked.Monitors || i.User == asked.User {
			connections++
			for _, ch := range c.Channels() {
				channels++
				consumers += ch.Consumers
			}
		}
	})
	return object{"connections": connections, "channels": channels, "consumers": consumers}
}

// vhostsHere gives the numbers of vhosts.
func (s *Server) vhostsHere(_ context.Context, asked namesAsked) ([]object, error) {
	query, err := url.ParseQuery(asked.Query)
	if err != nil {
		return nil, err
	}
	octets := octetsByVHost(infos(s.sampler.connected()))
	list := make([]object, len(asked.Names))
	for i, name := range asked.Names {
		list[i] = object{}
		s.sampler.vhost(name[0], octets, agesOf(query), list[i])
	}
	return list, nil
}

// exchangesHere gives the numbers of exchanges.
func (s *Server) exchangesHere(_ context.Context, asked namesAsked) ([]object, error) {
	query, err := url.ParseQuery(asked.Query)
	if err != nil {
		return nil, err
	}
	list := make([]object, len(asked.Names))
	for i, name := range asked.Names {
		list[i] = object{}
		s.addExchangeStats(list[i], name[0], name[1], agesOf(query))
	}
	return list, nil
}

// addNumbersOf adds to objects what the nodes have counted of them.
func addNumbersOf(ctx context.Context, s *Server, ask question[namesAsked, []object], objects []object, asked namesAsked) {
	here, _ := ask.answer(s, ctx, asked) // the query was read before
	more := ask.everywhere(ctx, s, asked)
	for i, o := range objects {
		own := here[i]
		if len(more) > 0 {
			own = plain(own)
		}
		for _, m := range more {
			if i < len(m) {
				add(own, m[i])
			}
		}
		for key, value := range own {
			o[key] = value
		}
	}
}

// addVHostNumbers adds to vhosts what the nodes have counted of them.
func (q *request) addVHostNumbers(objects []object, vhosts []*topology.VHost) {
	asked := namesAsked{Query: q.http.URL.RawQuery}
	for _, v := range vhosts {
		asked.Names = append(asked.Names, [2]string{v.Name})
	}
	addNumbersOf(q.context(), q.server, askVHosts, objects, asked)
}

// addExchangeNumbers adds to exchanges what the nodes have counted of them.
func (q *request) addExchangeNumbers(objects []object, list []*topology.Exchange) {
	asked := namesAsked{Query: q.http.URL.RawQuery}
	for _, x := range list {
		asked.Names = append(asked.Names, [2]string{x.VHost, x.Name})
	}
	addNumbersOf(q.context(), q.server, askExchanges, objects, asked)
}
