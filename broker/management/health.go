package management

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/broker/topology"
)

func healthRoutes() []route {
	const leaders = "/health/checks/quorum-queues-without-elected-leaders"
	fine := (*request).fine
	return []route{
		{"GET", "/health/checks/alarms", anyUser, (*request).checkAlarms, "No alarm is raised"},
		{"GET", "/health/checks/local-alarms", anyUser, (*request).checkLocalAlarms, "No alarm is raised on this node"},
		{"GET", "/health/checks/certificate-expiration/{within}/{unit}", anyUser, (*request).checkCertificates, "No certificate expires within a time"},
		{"GET", "/health/checks/port-listener/{port}", anyUser, (*request).checkPort, "Something listens on a port"},
		{"GET", "/health/checks/protocol-listener/{protocols}", anyUser, (*request).checkProtocols, "Something listens for each of the protocols"},
		{"GET", "/health/checks/virtual-hosts", anyUser, fine, "All vhosts run"},
		{"GET", "/health/checks/stored-messages", anyUser, (*request).checkStored, "What is stored is what was written, as far as it was read"},
		{"GET", "/health/checks/node-is-quorum-critical", anyUser, (*request).checkCritical, "No queue would be lost with this node"},
		{"GET", "/health/checks/metadata-store/initialized", anyUser, fine, "The metadata is loaded"},
		{"GET", "/health/checks/metadata-store/initialized/with-data", anyUser, fine, "The metadata is loaded and not empty"},
		{"GET", leaders + "/all-vhosts", anyUser, (*request).checkLeaders, "All quorum queues have leaders"},
		{"GET", leaders + "/all-vhosts/pattern/{pattern}", anyUser, (*request).checkLeaders, "All quorum queues with such names have leaders"},
		{"GET", leaders + "/vhost/{in}", anyUser, (*request).checkLeaders, "All quorum queues of a vhost have leaders"},
		{"GET", leaders + "/vhost/{in}/pattern/{pattern}", anyUser, (*request).checkLeaders, "All quorum queues of a vhost with such names have leaders"},
		{"GET", "/health/checks/is-in-service", nobody, (*request).checkInService, "The node is not in maintenance"},
		{"GET", "/health/checks/below-node-connection-limit", nobody, (*request).checkConnections, "One more connection would be accepted"},
		{"GET", "/health/checks/ready-to-serve-clients", nobody, (*request).checkReady, "Clients can be served"},
		{"GET", "/health/checks/reached-target-cluster-size", nobody, (*request).checkTarget, "All nodes are there, and all groups have their size"},
		{"GET", "/aliveness-test/{vhost}", vhostUser, (*request).aliveness, "A vhost can be used"},
		{"GET", "/healthchecks/node", anyUser, fine, "The node is up"},
		{"GET", "/healthchecks/node/{node}", anyUser, (*request).checkNode, "A node is up"},
	}
}

// fine is the answer to a question that nobody could ask otherwise.
func (q *request) fine() (answer, error) { return ok(object{"status": "ok"}) }

// failed says that a check has failed.
func failed(reason any, more object) *failure {
	o := object{"status": "failed", "reason": reason}
	for key, value := range more {
		o[key] = value
	}
	return &failure{status: http.StatusServiceUnavailable, body: o}
}

func (q *request) checkAlarms() (answer, error) { return q.alarms(true) }

func (q *request) checkLocalAlarms() (answer, error) { return q.alarms(false) }

// alarms fails if any is raised here, or on other nodes if these are meant too.
func (q *request) alarms(others bool) (answer, error) {
	raised := []object{}
	for _, k := range []limits.Kind{limits.Memory, limits.Disk} {
		if q.server.Alarms.Raised(k) {
			raised = append(raised, object{"node": q.server.Node, "resource": k.String()})
		}
	}
	if others {
		names := q.server.names()
		q.server.Alarms.Others(func(node uint64, k limits.Kind) {
			raised = append(raised, object{"node": names(node), "resource": k.String()})
		})
	}
	if len(raised) > 0 {
		return answer{}, failed("There are alarms in effect in the cluster", object{"alarms": raised})
	}
	return q.fine()
}

// checkStored tells what is damaged: which queues refuse, and the file and the place.
func (q *request) checkStored() (answer, error) {
	damage := q.server.damage()
	if len(damage) == 0 {
		return q.fine()
	}
	queues := map[uint64]int{}
	q.server.Editor.Catalog().VHosts(func(v *topology.VHost) bool {
		v.Queues(func(one *topology.Queue) bool { queues[one.Group]++; return true })
		return true
	})
	list := []object{}
	for _, id := range slices.Sorted(maps.Keys(damage)) {
		list = append(list, object{"node": q.server.Node, "group": id, "queues": queues[id], "damage": oneLine(damage[id])})
	}
	return answer{}, failed("What is stored of some queues is damaged: they refuse", object{"groups": list})
}

// damage gives the groups that are damaged, and how.
func (s *Server) damage() map[uint64]error {
	if s.Damage == nil {
		return nil
	}
	return s.Damage()
}

// damages is all that is damaged, a line each.
func (s *Server) damages() []string {
	list := []string{}
	for _, err := range s.damage() {
		list = append(list, oneLine(err))
	}
	slices.Sort(list)
	return list
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// withinMax is far enough: no date is beyond the calendar.
const withinMax = 10000

// units are how long certificates are asked to be valid in.
var units = []string{"days", "weeks", "months", "years"}

func (q *request) checkCertificates() (answer, error) {
	if !slices.Contains(units, q.values["unit"]) {
		return answer{}, badRequest("Time unit not recognised. Supported units: days, weeks, months, years.")
	}
	n, err := strconv.Atoi(q.values["within"])
	if err != nil {
		return answer{}, badRequest("Invalid expiration value.")
	}
	n = min(max(n, 0), withinMax)
	then := time.Now()
	switch q.values["unit"] {
	case "days":
		then = then.AddDate(0, 0, n)
	case "weeks":
		then = then.AddDate(0, 0, 7*n)
	case "months":
		then = then.AddDate(0, n, 0)
	default:
		then = then.AddDate(n, 0, 0)
	}
	expiring := []object{}
	for _, l := range q.server.Listeners() {
		if !l.Expiry.IsZero() && l.Expiry.Before(then) {
			host, port := hostPort(l.Addr)
			expiring = append(expiring, object{
				"node": q.server.Node, "name": l.Protocol, "interface": host, "port": port, "expires": l.Expiry.UTC().Format(time.RFC3339),
			})
		}
	}
	if len(expiring) > 0 {
		return answer{}, failed("Certificates expiring", object{"expired": expiring})
	}
	return q.fine()
}

func (q *request) checkPort() (answer, error) {
	port, err := strconv.Atoi(q.values["port"])
	if err != nil {
		return answer{}, badRequest("Invalid port")
	}
	open := []int{}
	for _, l := range q.server.Listeners() {
		_, p := hostPort(l.Addr)
		open = append(open, p)
	}
	if !slices.Contains(open, port) {
		return answer{}, failed("No active listener", object{"missing": port, "ports": open})
	}
	return ok(object{"status": "ok", "port": port})
}

// protocolNames are other names for protocols.
var protocolNames = map[string]string{
	"amqp091": "amqp", "amqp10": "amqp", "amqps": "amqp/ssl", "amqp091s": "amqp/ssl", "amqp10s": "amqp/ssl",
	"mqtts": "mqtt/ssl", "stomps": "stomp/ssl", "streams": "stream/ssl",
}

func (q *request) checkProtocols() (answer, error) {
	var open []string
	for _, l := range q.server.Listeners() {
		if !slices.Contains(open, l.Protocol) {
			open = append(open, l.Protocol)
		}
	}
	var absent []string
	for _, name := range strings.Split(strings.ToLower(q.values["protocols"]), ",") {
		if other, known := protocolNames[name]; known {
			name = other
		}
		if !slices.Contains(open, name) {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return answer{}, failed("No active listener", object{"missing": absent, "protocols": open})
	}
	return ok(object{"status": "ok", "protocols": open})
}

func (q *request) checkConnections() (answer, error) {
	if q.server.Registry.Full() {
		return answer{}, failed("node connection limit is reached", object{"connections": q.server.MaxConnections})
	}
	return q.fine()
}

func (q *request) aliveness() (answer, error) {
	if !q.principal.MayEnter(q.catalog, q.values["vhost"]) {
		return answer{}, errRefused
	}
	return q.fine()
}

func (q *request) checkNode() (answer, error) {
	if _, err := q.runs(); err != nil {
		return answer{}, err
	}
	return q.fine()
}
