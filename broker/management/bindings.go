package management

import (
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/topology"
)

func bindingRoutes() []route {
	return []route{
		{"GET", "/bindings", anyUser, (*request).listBindings, "The bindings"},
		{"GET", "/bindings/{vhost}", vhostUser, (*request).listBindings, "The bindings of a vhost"},
		{"GET", "/bindings/{vhost}/e/{source}/{kind}/{destination}", vhostUser, (*request).listBindingsBetween, "The bindings between two ends; kind is q or e"},
		{"POST", "/bindings/{vhost}/e/{source}/{kind}/{destination}", vhostUser, (*request).bind, "Make a binding"},
		{"GET", "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties}", vhostUser, (*request).getBinding, "A binding"},
		{"DELETE", "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties}", vhostUser, (*request).unbind, "Delete a binding"},
	}
}

// edge is a binding, or what every queue has: its name at the default exchange.
type edge struct{ topology.Edge }

func implicit(q *topology.Queue) edge {
	return edge{topology.Edge{VHost: q.VHost, Destination: q.Name, Key: q.Name}}
}

func (e *edge) object() object {
	kind := "queue"
	if e.ToExchange {
		kind = "exchange"
	}
	return object{
		"source": e.Source, "vhost": e.VHost, "destination": e.Destination, "destination_type": kind,
		"routing_key": e.Key, "arguments": tableObject(e.Arguments.Decode()), "properties_key": e.properties(),
	}
}

// properties is how a path names a binding among those between the same ends.
func (e *edge) properties() string {
	key := strings.ReplaceAll(url.QueryEscape(e.Key), "~", "%7E")
	if len(e.Arguments) == 0 {
		if key == "" {
			return "~"
		}
		return key
	}
	hash := termHash(e.Arguments.Decode().Sorted())
	return key + "~" + base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, hash))
}

func bindingList(edges []edge) *list {
	l := &list{names: make([]string, len(edges))}
	l.show = func(indexes []int) []object {
		out := make([]object, len(indexes))
		for i, at := range indexes {
			out[i] = edges[at].object()
		}
		return out
	}
	return l
}

// outgoing gives the bindings that begin at an exchange.
func outgoing(v *topology.VHost, x *topology.Exchange) (list []edge) {
	if x.Name == "" {
		v.Queues(func(q *topology.Queue) bool { list = append(list, implicit(q)); return true })
		return list
	}
	x.Outgoing(func(e *topology.Edge) bool { list = append(list, edge{*e}); return true })
	return list
}

func (q *request) listBindings() (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	var all []edge
	for _, v := range vhosts {
		v.Exchanges(func(x *topology.Exchange) bool { all = append(all, outgoing(v, x)...); return true })
	}
	return ok(bindingList(all))
}

// listBindingsFrom gives nothing for an exchange that is not there.
func (q *request) listBindingsFrom() (answer, error) {
	x, err := q.exchange()
	if err != nil {
		return ok([]any{})
	}
	return ok(bindingList(outgoing(q.catalog.VHost(x.VHost), x)))
}

func (q *request) listBindingsTo() (answer, error) {
	x, err := q.exchange()
	if err != nil {
		return ok([]any{})
	}
	var all []edge
	x.Incoming(func(e *topology.Edge) bool { all = append(all, edge{*e}); return true })
	return ok(bindingList(all))
}

func incoming(q *topology.Queue) (list []edge) {
	list = append(list, implicit(q))
	q.Incoming(func(e *topology.Edge) bool { list = append(list, edge{*e}); return true })
	return list
}

func (q *request) listQueueBindings() (answer, error) {
	one, err := q.queue()
	if err != nil {
		return ok([]any{})
	}
	return ok(bindingList(incoming(one)))
}

// between gives the bindings between the ends that the path names.
func (q *request) between() ([]edge, error) {
	v := q.catalog.VHost(q.values["vhost"])
	source, destination := exchangeName(q.values["source"]), exchangeName(q.values["destination"])
	var all []edge
	switch q.values["kind"] {
	case "q":
		if one := v.Queue(q.values["destination"]); one != nil {
			all = incoming(one)
		}
	case "e":
		if x := v.Exchange(destination); x != nil {
			x.Incoming(func(e *topology.Edge) bool { all = append(all, edge{*e}); return true })
		}
	default:
		return nil, errNotFound
	}
	var some []edge
	for _, e := range all {
		if e.Source == source {
			some = append(some, e)
		}
	}
	return some, nil
}

func (q *request) listBindingsBetween() (answer, error) {
	edges, err := q.between()
	if err != nil {
		return answer{}, err
	}
	return ok(bindingList(edges))
}

// binding finds the binding of the path.
func (q *request) binding() (*edge, error) {
	edges, err := q.between()
	if err != nil {
		return nil, err
	}
	if i := named(edges, q.values["properties"], q.http.URL.EscapedPath()); i >= 0 {
		return &edges[i], nil
	}
	return nil, errNotFound
}

// named finds the binding that a path means by its last word, which is given as decoded too; -1 is none. A client that does
// not encode a properties_key once more is understood as well, if no other binding is meant so.
func named(edges []edge, decoded, path string) int {
	if i := slices.IndexFunc(edges, func(e edge) bool { return e.properties() == decoded }); i >= 0 {
		return i
	}
	return slices.IndexFunc(edges, func(e edge) bool { return strings.HasSuffix(path, "/"+e.properties()) })
}

func (q *request) getBinding() (answer, error) {
	e, err := q.binding()
	if err != nil {
		return answer{}, err
	}
	return ok(e.object())
}

func (q *request) bind() (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	if q.values["kind"] != "q" && q.values["kind"] != "e" {
		return answer{}, errNotFound
	}
	body["source"], body["destination"] = exchangeName(q.values["source"]), q.values["destination"]
	body["destination_type"] = "queue"
	if q.values["kind"] == "e" {
		body["destination_type"], body["destination"] = "exchange", exchangeName(q.values["destination"])
	}
	e, err := q.makeBinding(q.values["vhost"], body)
	if err != nil {
		return answer{}, err
	}
	location := url.PathEscape(q.values["destination"]) + "/" + url.QueryEscape(e.properties())
	if e.properties() == "~" {
		location = url.PathEscape(q.values["destination"]) + "/~"
	}
	return answer{status: 201, location: strings.ReplaceAll(location, "%7E", "~"), body: nil}, nil
}

// makeBinding makes a binding as JSON describes it.
func (q *request) makeBinding(vhost string, body object) (*edge, error) {
	source, err := text(body, "source", "")
	if err != nil {
		return nil, err
	}
	destination, err := text(body, "destination", "")
	if err != nil {
		return nil, err
	}
	key, err := text(body, "routing_key", "")
	if err != nil {
		return nil, err
	}
	raw, err := arguments(body)
	if err != nil {
		return nil, err
	}
	w := topology.BindingWish{
		VHost: vhost, Source: source, ToExchange: body["destination_type"] == "exchange", Destination: destination, Key: key, Arguments: raw,
	}
	if err := q.server.Editor.Bind(q.context(), w, q.actor, nil); err != nil {
		return nil, err
	}
	return &edge{topology.Edge{
		VHost: vhost, Source: source, ToExchange: w.ToExchange, Destination: destination, Key: key, Arguments: raw.Canonical(),
	}}, nil
}

func (q *request) unbind() (answer, error) {
	e, err := q.binding()
	if err != nil {
		return answer{}, err
	}
	w := topology.BindingWish{
		VHost: e.VHost, Source: e.Source, ToExchange: e.ToExchange, Destination: e.Destination, Key: e.Key, Arguments: e.Arguments,
	}
	if err := q.server.Editor.Unbind(q.context(), w, q.principal, nil); err != nil {
		return answer{}, err
	}
	return done()
}
