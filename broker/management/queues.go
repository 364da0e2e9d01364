package management

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/warrenmq/warren/broker/queue"
	"github.com/warrenmq/warren/broker/session"
	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
)

func queueRoutes() []route {
	return []route{
		{"GET", "/queues", anyUser, (*request).listQueues, "The queues"},
		{"GET", "/queues/detailed", anyUser, (*request).listQueues, "The queues with all there is to know of them"},
		{"GET", "/queues/{vhost}", vhostUser, (*request).listQueues, "The queues of a vhost"},
		{"GET", "/queues/{vhost}/{name}", vhostUser, (*request).getQueue, "A queue"},
		{"PUT", "/queues/{vhost}/{name}", vhostUser, (*request).putQueue, "Declare a queue"},
		{"DELETE", "/queues/{vhost}/{name}", vhostUser, (*request).deleteQueue, "Delete a queue; if-empty=true and if-unused=true are conditions"},
		{"GET", "/queues/{vhost}/{name}/bindings", vhostUser, (*request).listQueueBindings, "The bindings that lead to a queue"},
		{"DELETE", "/queues/{vhost}/{name}/contents", vhostUser, (*request).purgeQueue, "Drop the messages of a queue"},
		{"POST", "/queues/{vhost}/{name}/get", vhostUser, (*request).getMessages, "Take messages out of a queue"},
		{"POST", "/queues/{vhost}/{name}/actions", administrator, (*request).actOnQueue, "Do something with a queue; there is no action"},
		{"GET", "/queues/quorum/{vhost}/{name}/status", vhostUser, (*request).getQuorumStatus, "The replicas of a quorum queue"},
		{"POST", "/queues/quorum/{vhost}/{name}/replicas/add", administrator, (*request).addReplica, "Add a replica to a quorum queue"},
		{"DELETE", "/queues/quorum/{vhost}/{name}/replicas/delete", administrator, (*request).deleteReplica, "Remove a replica of a quorum queue"},
		{"POST", "/queues/quorum/replicas/on/{node}/grow", administrator, (*request).growReplicas, "Add replicas of quorum queues on a node"},
		{"DELETE", "/queues/quorum/replicas/on/{node}/shrink", administrator, (*request).shrinkReplicas, "Remove the replicas of quorum queues on a node"},
	}
}

// queuesIn gives the queues of vhosts, in order.
func queuesIn(vhosts []*topology.VHost) (all []*topology.Queue) {
	for _, v := range vhosts {
		v.Queues(func(q *topology.Queue) bool { all = append(all, q); return true })
	}
	return all
}

func (q *request) listQueues() (answer, error) {
	vhosts, err := q.vhosts()
	if err != nil {
		return answer{}, err
	}
	return ok(q.queueList(q.server.queueLists.of(vhosts)))
}

func (q *request) listQueuesOfUser() (answer, error) {
	var own []*topology.Queue
	var names []string
	all, _ := q.server.queueLists.of(q.visible())
	for _, one := range all {
		if one.User == q.values["user"] {
			own, names = append(own, one), append(names, one.Name)
		}
	}
	return ok(q.queueList(own, names))
}

// queueList shows queues, some at a time.
func (q *request) queueList(queues []*topology.Queue, names []string) *list {
	l := &list{names: names, paged: true}
	bare := q.asked("disable_stats")
	totals := q.asked("enable_queue_totals")
	sessions, places := q.server.sessions(), q.server.places()
	pick := func(indexes []int) []*topology.Queue {
		part := make([]*topology.Queue, len(indexes))
		for i, at := range indexes {
			part[i] = queues[at]
		}
		return part
	}
	if !bare {
		l.keys = func(indexes []int, field []string) (column, bool) {
			return q.server.queueKeys(q.context(), pick(indexes), field)
		}
	}
	l.show = func(indexes []int) []object {
		part := pick(indexes)
		out := make([]object, len(part))
		for i, one := range part {
			out[i] = q.server.queueBasics(one, places)
			if !bare {
				dropNull(out[i], "policy", "operator_policy")
			}
		}
		switch {
		case !bare:
			q.describeAll(out, part, inList, sessions)
		case totals:
			q.describeAll(out, part, onlyCounts, sessions)
		}
		return out
	}
	return l
}

// dropNull drops fields that say nothing, as lists do.
func dropNull(o object, names ...string) {
	for _, name := range names {
		if o[name] == nil {
			delete(o, name)
		}
	}
}

// queueInfos asks the groups about queues. Those whose group does not answer are left out.
func (s *Server) queueInfos(ctx context.Context, queues []*topology.Queue) map[uint64]queue.Info {
	ids := map[uint64][]queue.ID{}
	for _, q := range queues {
		ids[q.Group] = append(ids[q.Group], queue.ID(q.ID))
	}
	all := make(map[uint64]queue.Info, len(queues))
	for _, g := range s.Groups() {
		of := ids[g.ID]
		if len(of) == 0 {
			continue
		}
		part, err := ask(ctx, g, func(set *queue.Set) map[uint64]queue.Info {
			infos := make(map[uint64]queue.Info, len(of))
			for _, id := range of {
				if info, ok := set.Info(id); ok {
					infos[uint64(id)] = info
				}
			}
			return infos
		})
		if err != nil {
			continue
		}
		for id, info := range part {
			all[id] = info
		}
	}
	return all
}

// queueBasics is what is known of a queue without asking its group.
func (s *Server) queueBasics(q *topology.Queue, places func(group uint64) *seat) object {
	p := places(q.Group)
	o := object{"node": p.at(), "internal": false, "internal_owner": false}
	for i := range plainFields {
		o[plainFields[i].name] = plainFields[i].of(q)
	}
	damage := s.damage()
	o["state"] = stateOf(q, damage, p)
	if err := damage[q.Group]; err != nil {
		o["damage"] = oneLine(err)
	}
	if q.Type != classicType {
		o["leader"], o["members"], o["online"] = p.leader, p.members, p.online
	}
	if q.Type == "quorum" {
		o["delivery_limit"] = q.Config.DeliveryLimit
		if q.Config.DeliveryLimit < 0 {
			o["delivery_limit"] = "unlimited"
		}
		o["delayed_retry"] = [...]string{"disabled", "all", "failed", "returned"}[q.Config.Retry]
	}
	return o
}

func addCounts(o object, q *topology.Queue, i *queue.Info) {
	addNumbers(o, queueCounters[:countFields], q, i)
}

func addNumbers(o object, fields []queueCounter, q *topology.Queue, i *queue.Info) {
	for at := range fields {
		o[fields[at].name] = fields[at].of(q, i)
	}
}

// addQueueStats adds what a queue's machine knows.
func (s *Server) addQueueStats(o object, q *topology.Queue, i *queue.Info, a ages) {
	addNumbers(o, queueCounters, q, i)
	v := s.sampler.queues.View(q.ID)
	for at, name := range lengthNames {
		o[name+detailsSuffix] = details(v, a.lengths, at)
	}
	o["reductions"], o["reductions_details"] = 0, object{"rate": float(0)}
	s.addIdleSince(o, v)
	if c := queueCounts(&i.Stats); c != (stats.Counts{}) {
		groups := [][]stats.Kind{{stats.Publish}, delivered}
		o[messageStatsField] = messageStatsAt(c, v, lengths, a, groups...)
	}
	switch q.Type {
	case "stream":
		o["segments"], o["readers"] = max(i.Segments, 1), object{s.Node: i.Consumers}
		o["first_timestamp"] = 0
		return
	case "quorum":
		addQuorumStats(o, s.Node, i)
	default:
		o["storage_version"] = 2
		o["messages_ready_ram"], o["messages_unacknowledged_ram"] = i.Ready, i.Unacked
	}
	addNumbers(o, octetCounters, q, i)
}

// addIdleSince says since when nothing has happened, if that is some time ago.
func (s *Server) addIdleSince(o object, v stats.View) {
	if since := v.IdleSince(); since > 0 && s.Clock()-since >= stats.Interval.Milliseconds() {
		o["idle_since"] = time.UnixMilli(since).UTC().Format("2006-01-02T15:04:05.000+00:00")
	}
}

// share is a part of one; the whole and nothing are whole numbers.
func share(part float64) any {
	if part == 0 || part == 1 {
		return int(part)
	}
	return float(part)
}

func addQuorumStats(o object, node string, i *queue.Info) {
	o["open_files"], o["publishers"] = object{node: 0}, 0
	o["messages_dlx"], o["message_bytes_dlx"] = i.Dead, i.DeadBytes
	o["messages_delayed"], o["messages_ready_returned"] = i.Delayed, i.Returned
	byPriority, active := object{}, 0
	for p, n := range i.Priorities {
		if n > 0 {
			byPriority[itoa(p)] = n
			active++
		}
	}
	o["messages_by_priority"], o["messages_active_priorities"] = byPriority, active
}

// sessions gives the open connections by their number.
func (s *Server) sessions() map[uint64]session.Info {
	all := map[uint64]session.Info{}
	s.Registry.Each(func(c *session.Session) {
		i := c.Info()
		all[i.ID] = i
	})
	return all
}

// addOwner adds the connection an exclusive queue belongs to.
func addOwner(o object, q *topology.Queue, sessions map[uint64]session.Info) {
	if owner, open := sessions[q.Owner.Session]; q.Exclusive && open {
		host, port := hostPort(owner.Peer)
		o["owner_pid_details"] = object{"name": owner.Name, "peer_host": host, "peer_port": port}
	}
}

func hostPort(addr net.Addr) (host string, port int) {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.IP.String(), tcp.Port
	}
	return addr.String(), 0
}

// queue finds the queue of the path.
func (q *request) queue() (*topology.Queue, error) {
	if v := q.catalog.VHost(q.values["vhost"]); v != nil {
		if one := v.Queue(q.values["name"]); one != nil {
			return one, nil
		}
	}
	return nil, errNotFound
}

func (q *request) getQueue() (answer, error) {
	one, err := q.queue()
	if err != nil {
		return answer{}, err
	}
	o := q.server.queueBasics(one, q.server.places())
	if q.asked("disable_stats") {
		return ok(o)
	}
	sessions := q.server.sessions()
	q.describeAll([]object{o}, []*topology.Queue{one}, inFull, sessions)
	o["consumer_details"] = q.server.consumersOf(q.context(), []*topology.Queue{one}, consumersAsked{IDs: []uint64{one.ID}})
	o["incoming"], o["deliveries"], o["garbage_collection"] = []any{}, []any{}, garbage()
	if one.Type == classicType {
		o["head_message_timestamp"] = nil
	}
	return ok(o)
}

func tagOrNull(tag string) any {
	if tag == "" {
		return nil
	}
	return tag
}

func (q *request) putQueue() (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	return put(q.declareQueue(q.values["vhost"], q.values["name"], body))
}

// declareQueue declares a queue as JSON describes it.
func (q *request) declareQueue(vhost, name string, body object) (created bool, err error) {
	d := topology.QueueDeclaration{VHost: vhost, Name: name}
	for key, into := range map[string]*bool{"durable": &d.Durable, "auto_delete": &d.AutoDelete, "exclusive": &d.Exclusive} {
		if *into, err = flag(body, key); err != nil {
			return false, err
		}
	}
	if node := body["node"]; node != nil && node != "" { // where durable queues go is the cluster's to say
		if name, is := node.(string); !is || !q.server.member(name) {
			return false, badRequest(fmt.Sprintf("Node %v is not a cluster member", node))
		}
	}
	if d.Exclusive { // there is no connection it could belong to
		d.Exclusive, d.Durable = false, false
	}
	if d.Arguments, err = arguments(body); err != nil {
		return false, err
	}
	v := q.catalog.VHost(vhost)
	created = v == nil || v.Queue(topology.CleanName(name)) == nil
	_, err = q.server.Editor.DeclareQueue(q.context(), d, q.actor, nil)
	if err == nil {
		q.server.Registry.Board.Churn.QueuesDeclared.Add(1)
	}
	return created, err
}

// actOnQueue knows no action.
func (q *request) actOnQueue() (answer, error) {
	if _, err := q.queue(); err != nil {
		return answer{}, missing("queue_not_found")
	}
	body, err := q.body("action")
	if err != nil {
		return answer{}, err
	}
	return answer{}, badRequest([]any{"unknown", body["action"]})
}
