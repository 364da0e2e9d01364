package management

import (
	"fmt"

	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

func exchangeRoutes() []route {
	return []route{
		{"GET", "/exchanges", anyUser, (*request).listExchanges, "The exchanges"},
		{"GET", "/exchanges/{vhost}", vhostUser, (*request).listExchanges, "The exchanges of a vhost"},
		{"GET", "/exchanges/{vhost}/{name}", vhostUser, (*request).getExchange, "An exchange; the default exchange is amq.default"},
		{"PUT", "/exchanges/{vhost}/{name}", vhostUser, (*request).putExchange, "Declare an exchange"},
		{"DELETE", "/exchanges/{vhost}/{name}", vhostUser, (*request).deleteExchange, "Delete an exchange; if-unused=true is a condition"},
		{"GET", "/exchanges/{vhost}/{name}/bindings/source", vhostUser, (*request).listBindingsFrom, "The bindings that begin at an exchange"},
		{"GET", "/exchanges/{vhost}/{name}/bindings/destination", vhostUser, (*request).listBindingsTo, "The bindings that lead to an exchange"},
		{"POST", "/exchanges/{vhost}/{name}/publish", vhostUser, (*request).publish, "Publish a message"},
	}
}

// defaultExchange is how paths name the exchange without a name.
const defaultExchange = "amq.default"

// exchangeName is the name of an exchange in a path.
func exchangeName(inPath string) string {
	if inPath == defaultExchange {
		return ""
	}
	return inPath
}

func (q *request) listExchanges() (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	var all []*topology.Exchange
	for _, v := range vhosts {
		v.Exchanges(func(x *topology.Exchange) bool { all = append(all, x); return true })
	}
	l := &list{names: make([]string, len(all)), paged: true}
	for i, x := range all {
		l.names[i] = x.Name
	}
	bare := q.asked("disable_stats")
	l.show = func(indexes []int) []object {
		shown := make([]*topology.Exchange, len(indexes))
		for i, at := range indexes {
			shown[i] = all[at]
		}
		return q.exchangeObjects(shown, bare)
	}
	return ok(l)
}

// exchangeObjects shows exchanges; those that delay messages with how many they hold.
func (q *request) exchangeObjects(list []*topology.Exchange, bare bool) []object {
	var behind []*topology.Queue
	for _, x := range list {
		if x.Type == delayedType && x.Memory != nil {
			behind = append(behind, x.Memory)
		}
	}
	held := q.delayed(behind)
	out := make([]object, len(list))
	for i, x := range list {
		out[i] = exchangeObject(x)
		if x.Type == delayedType && x.Memory != nil {
			out[i][delayedField] = int64(held[x.Memory.ID])
		}
	}
	if !bare {
		q.addExchangeNumbers(out, list)
	}
	return out
}

// delayed gives how many messages the queues behind exchanges hold back.
func (q *request) delayed(behind []*topology.Queue) map[uint64]float64 {
	if len(behind) == 0 {
		return nil
	}
	held, _ := q.server.count(q.context(), behind, delayedField, delayedMessages, false) // what is not known is shown as 0
	return held
}

// delayedType is the type of exchanges that hold messages back.
const delayedType = "x-delayed-message"

func exchangeObject(x *topology.Exchange) object {
	o := object{
		"name": x.Name, "vhost": x.VHost, "type": x.Type, "durable": x.Durable, "auto_delete": x.AutoDelete,
		"internal": x.Internal, "arguments": tableObject(x.Table), "user_who_performed_action": x.User,
	}
	if x.Policy != nil {
		o["policy"] = x.Policy.Name
	}
	return o
}

// addExchangeStats adds what this node has counted of an exchange.
func (s *Server) addExchangeStats(o object, vhost, name string, a ages) {
	if c := s.Registry.Board.Exchange(vhost, name).Load(); c != (stats.Counts{}) {
		v := s.sampler.exchanges.View([2]string{vhost, name})
		o[messageStatsField] = messageStatsAt(c, v, -int(stats.PublishIn), a, exchanged)
	}
}

// exchange finds the exchange of the path.
func (q *request) exchange() (*topology.Exchange, error) {
	if v := q.catalog.VHost(q.values["vhost"]); v != nil {
		if x := v.Exchange(exchangeName(q.values["name"])); x != nil {
			return x, nil
		}
	}
	return nil, errNotFound
}

func (q *request) getExchange() (answer, error) {
	x, err := q.exchange()
	if err != nil {
		return answer{}, err
	}
	o := q.exchangeObjects([]*topology.Exchange{x}, q.asked("disable_stats"))[0]
	o["incoming"], o["outgoing"] = []any{}, []any{}
	return ok(o)
}

func (q *request) putExchange() (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	return put(q.declareExchange(q.values["vhost"], exchangeName(q.values["name"]), body))
}

// declareExchange declares an exchange as JSON describes it.
func (q *request) declareExchange(vhost, name string, body object) (created bool, err error) {
	d := topology.ExchangeDeclaration{VHost: vhost, Name: name}
	if d.Type, err = text(body, "type", "direct"); err != nil {
		return false, badRequest(fmt.Sprintf("invalid exchange type '%v'", body["type"]))
	}
	for key, into := range map[string]*bool{"durable": &d.Durable, "auto_delete": &d.AutoDelete, "internal": &d.Internal} {
		if *into, err = flag(body, key); err != nil {
			return false, err
		}
	}
	if d.Arguments, err = arguments(body); err != nil {
		return false, err
	}
	v := q.catalog.VHost(vhost)
	created = v == nil || v.Exchange(topology.CleanName(name)) == nil
	return created, q.server.Editor.DeclareExchange(q.context(), d, q.actor, nil)
}

func (q *request) deleteExchange() (answer, error) {
	x, err := q.exchange()
	if err != nil {
		return answer{}, err
	}
	if err := q.server.Editor.DeleteExchange(q.context(), x.VHost, x.Name, q.asked("if-unused"), q.principal, nil); err != nil {
		return answer{}, err
	}
	return done()
}
