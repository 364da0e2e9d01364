package management

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

func vhostRoutes() []route {
	return []route{
		{"GET", "/vhosts", anyUser, (*request).listVHosts, "The vhosts that the user may see"},
		{"GET", "/vhosts/{vhost}", administrator, (*request).getVHost, "A vhost"},
		{"PUT", "/vhosts/{vhost}", administrator, (*request).putVHost, "Make or change a vhost"},
		{"DELETE", "/vhosts/{vhost}", administrator, (*request).deleteVHost, "Delete a vhost and all that is in it"},
		{"GET", "/vhosts/{vhost}/permissions", administrator, (*request).listVHostPermissions, "Who may do what in a vhost"},
		{"GET", "/vhosts/{vhost}/topic-permissions", administrator, (*request).listVHostTopicPermissions, "The topic permissions of a vhost"},
		{"GET", "/vhosts/{vhost}/connections", vhostUser, (*request).listConnections, "The connections to a vhost"},
		{"GET", "/vhosts/{vhost}/channels", vhostUser, (*request).listChannels, "The channels to a vhost"},
		{"POST", "/vhosts/{vhost}/deletion/protection", administrator, (*request).protectVHost, "Let a vhost be deleted no more"},
		{"DELETE", "/vhosts/{vhost}/deletion/protection", administrator, (*request).unprotectVHost, "Let a vhost be deleted again"},
		{"POST", "/vhosts/{vhost}/start/{node}", administrator, (*request).startVHost, "Start a vhost on a node"},
	}
}

func (q *request) listVHosts() (answer, error) {
	vhosts := q.visible()
	l := &list{names: make([]string, len(vhosts))}
	for i, v := range vhosts {
		l.names[i] = v.Name
	}
	l.show = func(indexes []int) []object {
		shown := make([]*topology.VHost, len(indexes))
		for i, at := range indexes {
			shown[i] = vhosts[at]
		}
		return q.vhostObjects(shown)
	}
	return ok(l.pages())
}

func (q *request) getVHost() (answer, error) {
	v := q.catalog.VHost(q.values["vhost"])
	if v == nil {
		return answer{}, errNotFound
	}
	return ok(q.vhostObjects([]*topology.VHost{v})[0])
}

// vhostObjects shows vhosts, with what the nodes have counted of them.
func (q *request) vhostObjects(vhosts []*topology.VHost) []object {
	out := make([]object, len(vhosts))
	for i, v := range vhosts {
		out[i] = q.vhostObject(v)
	}
	q.addVHostNumbers(out, vhosts)
	return out
}

func (q *request) vhostObject(v *topology.VHost) object {
	queueType := v.DefaultQueueType
	if queueType == "" {
		queueType = q.server.DefaultQueueType
	}
	tags := v.Tags
	if tags == nil {
		tags = []string{}
	}
	state := object{}
	for _, n := range q.server.Nodes.Nodes() {
		state[n.Name] = map[bool]string{true: "running", false: "nodedown"}[n.Alive]
	}
	return object{
		"name": v.Name, "description": v.Description, "tags": tags, "default_queue_type": queueType,
		"protected_from_deletion": v.Protected, "tracing": v.Tracing,
		"cluster_state": state,
		"metadata":      object{"description": v.Description, "tags": tags, "default_queue_type": queueType},
	}
}

// putVHost makes a vhost, in which whoever makes it may do everything.
func (q *request) putVHost() (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	delete(body, "metadata") // that is how definitions say it
	change, err := readVHost(body)
	if err != nil {
		return answer{}, err
	}
	name := q.values["vhost"]
	created, err := q.server.Editor.PutVHost(q.context(), name, change, nil)
	if err == nil && created && !q.principal.IsOperator() {
		_, err = q.server.Editor.PutPermission(q.context(), name, q.principal.Name(), ".*", ".*", ".*", nil)
	}
	return put(created, err)
}

// readVHost reads what a vhost is to be like, from itself or its metadata. What is not mentioned is as in a new one, but
// for tracing.
func readVHost(body object) (change func(*topology.VHostRecord), err error) {
	inner, _ := body["metadata"].(object)
	field := func(key string) any {
		if value, given := body[key]; given {
			return value
		}
		return inner[key]
	}
	if field("default_queue_type") == "" {
		return nil, badRequest("default_queue_type must not be an empty string")
	}
	description, _ := field("description").(string)
	queueType, _ := field("default_queue_type").(string)
	if queueType == "undefined" {
		queueType = ""
	}
	tags, err := readTags(field("tags"))
	if err != nil {
		return nil, err
	}
	tracing, err := flag(body, "tracing")
	if err != nil {
		return nil, err
	}
	protected, err := flag(inner, "protected_from_deletion")
	if err != nil {
		return nil, err
	}
	_, traced := body["tracing"]
	return func(r *topology.VHostRecord) {
		r.Description, r.Tags, r.DefaultQueueType = description, tags, queueType
		if traced {
			r.Tracing = tracing
		}
		r.Protected = r.Protected || protected
	}, nil
}

// readTags reads tags: a list, or words between commas.
func readTags(value any) (tags []string, err error) {
	switch v := value.(type) {
	case nil:
		return []string{}, nil
	case string:
		tags = []string{}
		for _, tag := range strings.Split(v, ",") {
			if tag = strings.TrimSpace(tag); tag != "" {
				tags = append(tags, tag)
			}
		}
		return tags, nil
	case []any:
		tags = []string{}
		for _, element := range v {
			tag, isText := element.(string)
			if !isText {
				return nil, badRequest("tags should be strings")
			}
			tags = append(tags, tag)
		}
		return tags, nil
	}
	return nil, badRequest("tags should be a list, or words between commas")
}

func (q *request) deleteVHost() (answer, error) {
	name := q.values["vhost"]
	if v := q.catalog.VHost(name); v != nil && v.Protected {
		return answer{}, &failure{
			status: http.StatusPreconditionFailed, kind: "precondition_failed",
			reason: fmt.Sprintf("Refusing to delete virtual host '%s' because it is protected from deletion", name),
		}
	}
	return removed(q.server.Editor.DeleteVHost(q.context(), name, nil))
}

func (q *request) protectVHost() (answer, error) { return q.setProtection(true, "enable") }

func (q *request) unprotectVHost() (answer, error) {
	if q.catalog.VHost(q.values["vhost"]) == nil {
		return answer{}, errNotFound
	}
	return q.setProtection(false, "disable")
}

func (q *request) setProtection(protected bool, word string) (answer, error) {
	name := q.values["vhost"]
	if q.catalog.VHost(name) == nil {
		return answer{}, missing(fmt.Sprintf("Cannot %s deletion protection of virtual host '%s' because it does not exist", word, name))
	}
	if err := q.server.Editor.ProtectVHost(q.context(), name, protected, nil); err != nil {
		return answer{}, err
	}
	return done()
}

// startVHost has nothing to start: a vhost runs as long as the node does.
func (q *request) startVHost() (answer, error) {
	node, name := q.values["node"], q.values["vhost"]
	if !q.server.member(node) {
		return answer{}, badRequest("Unknown node: " + node)
	}
	if q.catalog.VHost(name) == nil {
		return answer{}, badRequest(fmt.Sprintf("Request to node %s failed with {no_such_vhost,%s}", node, topology.Term(name)))
	}
	return done()
}

// addTraffic adds the octets that came and went.
func addTraffic(o object, c stats.Counts, v stats.View, a ages) {
	if c[stats.OctetsIn] == 0 {
		return
	}
	o["recv_oct"], o["recv_oct_details"] = c[stats.OctetsIn], details(v, a.data, int(stats.OctetsIn))
	o["send_oct"], o["send_oct_details"] = c[stats.OctetsOut], details(v, a.data, int(stats.OctetsOut))
}

// vhost adds the numbers of a vhost.
func (s *sampler) vhost(name string, octets map[string]stats.Counts, ages ages, o object) {
	lengths := s.vhostLengths.View(name)
	if !lengths.Empty() {
		addLengths(o, lengths, ages)
	}
	counts := s.server.Registry.Board.VHost(name).Load()
	more := counts
	more.Add(octets[name])
	addTraffic(o, more, s.vhostCounts.View(name), ages)
	if counts != (stats.Counts{}) {
		o[messageStatsField] = messageStats(counts, s.vhostCounts.View(name), ages)
	}
}
