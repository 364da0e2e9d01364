package management

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/broker/topology"
)

func definitionRoutes() []route {
	return []route{
		{"GET", "/definitions", administrator, (*request).exportAll, "All metadata, as a file that can be imported"},
		{"POST", "/definitions", administrator, (*request).importAll, "Import metadata: nothing is deleted"},
		{"GET", "/all-configuration", administrator, (*request).exportAll, "The old name of /definitions"},
		{"POST", "/all-configuration", administrator, (*request).importAll, "The old name of /definitions"},
		{"GET", "/definitions/{vhost}", administrator, (*request).exportVHost, "The metadata of a vhost"},
		{"POST", "/definitions/{vhost}", administrator, (*request).importVHost, "Import metadata into a vhost"},
	}
}

// Formats of definitions.
const (
	formatCluster = "cluster"
	formatVHost   = "single_virtual_host"
)

func (s *Server) definitionsHead(format, explanation string) object {
	return object{
		"rabbit_version": s.Version, "rabbitmq_version": s.Version, "product_name": s.Product, "product_version": s.Version,
		"rabbitmq_definition_format": format, "explanation": explanation,
	}
}

func (q *request) exportAll() (answer, error) {
	s := q.server
	name := q.catalog.ClusterName(s.Cluster)
	o := s.definitionsHead(formatCluster, fmt.Sprintf("Definitions of cluster '%s'", name))
	o["original_cluster_name"] = name
	e := exported{}
	q.catalog.Users(func(u *topology.User) bool { e.add("users", userObject(u)); return true })
	q.catalog.Globals(func(p *topology.Parameter) bool {
		if p.Name != topology.ClusterID {
			e.add("global_parameters", globalObject(p))
		}
		return true
	})
	q.catalog.VHosts(func(v *topology.VHost) bool {
		e.add("vhosts", q.vhostDefinition(v))
		v.Permissions(func(p *topology.Permission) bool { e.add("permissions", permissionObject(p)); return true })
		v.TopicPermissions(func(p *topology.TopicPermission) bool {
			e.add("topic_permissions", topicPermissionObject(p))
			return true
		})
		e.contents(v, true)
		return true
	})
	e.into(o, "users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies", "queues", "exchanges", "bindings")
	return answer{status: 200, body: o, download: q.download()}, nil
}

// download is the name under which a browser shall save the answer, if it asks for that.
func (q *request) download() string {
	name := q.http.URL.Query().Get("download")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == ';' || r > '~' {
			return '_'
		}
		return r
	}, name)
}

func (q *request) vhostDefinition(v *topology.VHost) object {
	return object{"name": v.Name, "metadata": q.metadata(v), "limits": limitsOf(v)}
}

// limitsOf gives the limits of a vhost, an empty object if it has none.
func limitsOf(v *topology.VHost) map[string]int64 {
	if v.Limits == nil {
		return map[string]int64{}
	}
	return v.Limits
}

// metadata is what a vhost says of itself.
func (q *request) metadata(v *topology.VHost) object {
	o := q.vhostObject(v)
	inner, _ := o["metadata"].(object)
	if v.Tracing {
		inner["tracing"] = true
	}
	if v.Protected {
		inner["protected_from_deletion"] = true
	}
	return inner
}

func (q *request) exportVHost() (answer, error) {
	v := q.catalog.VHost(q.values["vhost"])
	if v == nil {
		return answer{}, badRequest("vhost_not_found")
	}
	o := q.server.definitionsHead(formatVHost, fmt.Sprintf("Definitions of virtual host '%s'", v.Name))
	o["original_vhost_name"], o["metadata"], o["description"] = v.Name, q.metadata(v), v.Description
	o["limits"] = limitsOf(v)
	e := exported{}
	e.contents(v, false)
	e.into(o, "parameters", "policies", "queues", "exchanges", "bindings")
	return answer{status: 200, body: o, download: q.download()}, nil
}

// exported is lists of definitions by their names.
type exported map[string][]object

func (e exported) add(list string, o object) { e[list] = append(e[list], o) }

// into puts lists into an object, empty ones too.
func (e exported) into(o object, lists ...string) {
	for _, name := range lists {
		list := e[name]
		if list == nil {
			list = []object{}
		}
		o[name] = list
	}
}

// contents adds what is in a vhost; whole tells that objects name it.
func (e exported) contents(v *topology.VHost, whole bool) {
	add := func(list string, o object) {
		if !whole {
			delete(o, "vhost")
		}
		e.add(list, o)
	}
	eachParameter(v, func(component, name string, value any) {
		add("parameters", parameterObject(v.Name, component, name, value))
	})
	for _, p := range policiesOf(v, false) {
		add("policies", policyObject(p))
	}
	v.Queues(func(q *topology.Queue) bool {
		if !q.Exclusive {
			add("queues", object{
				"name": q.Name, "vhost": q.VHost, "type": q.Type, "durable": q.Durable, "auto_delete": q.AutoDelete,
				"arguments": tableObject(q.Table),
			})
		}
		return true
	})
	v.Exchanges(func(x *topology.Exchange) bool {
		if x.Name != "" && !strings.HasPrefix(x.Name, "amq.") {
			o := object{
				"name": x.Name, "vhost": x.VHost, "type": x.Type, "durable": x.Durable, "auto_delete": x.AutoDelete,
				"arguments": tableObject(x.Table),
			}
			if x.Internal { // RabbitMQ leaves these out, and then does not take its own bindings back
				o["internal"] = true
			}
			add("exchanges", o)
		}
		x.Outgoing(func(b *topology.Edge) bool {
			if q := v.Queue(b.Destination); b.ToExchange || q != nil && !q.Exclusive {
				o := (&edge{*b}).object()
				delete(o, "properties_key")
				add("bindings", o)
			}
			return true
		})
		return true
	})
}

// definitions is a file of definitions.
type definitions map[string]json.RawMessage

// objects gives a list in the file; what is absent is empty.
func (d definitions) objects(name string) ([]object, error) {
	raw, given := d[name]
	if !given {
		return nil, nil
	}
	value, err := decode(raw)
	if err != nil {
		return nil, errUnreadable
	}
	if value == nil {
		return nil, nil
	}
	elements, isList := value.([]any)
	if !isList {
		return nil, badRequest(name + " should be a list")
	}
	list := make([]object, len(elements))
	for i, element := range elements {
		o, isObject := element.(object)
		if !isObject {
			return nil, badRequest(name + " should be a list of objects")
		}
		list[i] = o
	}
	return list, nil
}

var errUnreadable = badRequest("failed_to_parse_json")
