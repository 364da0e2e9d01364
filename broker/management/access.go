package management

import (
	"errors"
	"net/http"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/topology"
)

// need is what somebody must be to be heard.
type need uint8

// Needs.
const (
	nobody        need = iota // nobody has to log in
	anyUser                   // any of the four tags
	vhostUser                 // and access to the vhost of the path; an administrator has it to all
	vhostMonitor              // the same, and who monitors has it too
	monitor                   // who monitors
	policymaker               // who makes policies, with access to the vhost if the path has one
	administrator             // who administrates
	ownUser                   // the user of the path, or who monitors
	ownUserOrAdmin
)

// String is the need in the API's description.
func (n need) String() string {
	return [...]string{
		"none", "management", "management with access to the vhost", "management with access to the vhost, or monitoring",
		"monitoring", "policymaker with access to the vhost", "administrator", "the user itself, or monitoring",
		"the user itself, or administrator",
	}[n]
}

// Tags that let somebody in, by what each stands for.
const (
	tagAdministrator = "administrator"
	tagMonitoring    = "monitoring"
	tagPolicymaker   = "policymaker"
	tagManagement    = "management"
)

// login finds out who asks.
func (q *request) login() *failure {
	name, password, given := q.http.BasicAuth()
	if !given {
		return &failure{status: http.StatusUnauthorized}
	}
	principal, err := q.server.Authority.Password(name, password, q.peer())
	switch {
	case errors.Is(err, auth.ErrLoopback):
		return unauthorised("User can only log in via localhost")
	case err != nil:
		return &failure{status: http.StatusUnauthorized, kind: "not_authorized", reason: "Not_Authorized"}
	}
	q.principal, q.actor, q.password = principal, principal, password
	q.catalog = q.server.Editor.Catalog()
	return nil
}

// authorise refuses whom the route is not for.
func (q *request) authorise(n need) *failure {
	if n == nobody {
		q.catalog = q.server.Editor.Catalog()
		return nil
	}
	if f := q.login(); f != nil {
		return f
	}
	if !q.principal.HasTag(q.catalog, tagAdministrator, tagMonitoring, tagPolicymaker, tagManagement) {
		return unauthorised("Not management user")
	}
	if f := q.authoriseTag(n); f != nil {
		return f
	}
	if name, given := q.values["vhost"]; given && n != administrator && n != monitor {
		return q.authoriseVHost(name, n)
	}
	return nil
}

func (q *request) authoriseTag(n need) *failure {
	switch n {
	case monitor:
		if !q.monitors() {
			return unauthorised("Not monitor user")
		}
	case administrator:
		if !q.administrates() {
			return unauthorised("Not administrator user")
		}
	case policymaker:
		if !q.principal.HasTag(q.catalog, tagAdministrator, tagPolicymaker) {
			return errObject
		}
	case ownUser:
		if q.values["user"] != q.principal.Name() && !q.monitors() {
			return errObject
		}
	case ownUserOrAdmin:
		if q.values["user"] != q.principal.Name() && !q.administrates() {
			return errObject
		}
	}
	return nil
}

var errObject = unauthorised("User not authorised to access object")

// authoriseVHost demands that there is the vhost, and that the user may see it.
func (q *request) authoriseVHost(name string, n need) *failure {
	if q.catalog.VHost(name) == nil {
		if m := q.http.Method; m == http.MethodPut || m == http.MethodPost {
			return errNoVHost
		}
		return errNotFound
	}
	sees := q.administrates() || n == vhostMonitor && q.monitors() || q.principal.MayEnter(q.catalog, name)
	if !sees {
		return errHidden
	}
	return nil
}

func (q *request) administrates() bool { return q.principal.HasTag(q.catalog, tagAdministrator) }

func (q *request) monitors() bool {
	return q.principal.HasTag(q.catalog, tagAdministrator, tagMonitoring)
}

// vhosts gives the vhosts that the request is about and its user may see: that of the path or of the header x-vhost, or
// all.
func (q *request) vhosts() ([]*topology.VHost, error) {
	name, one := q.values["vhost"]
	if header := q.http.Header.Get("X-Vhost"); !one && header != "" {
		name, one = header, true
	}
	if one {
		v := q.catalog.VHost(name)
		switch {
		case v == nil:
			return nil, errNotFound
		case !q.monitors() && !q.principal.MayEnter(q.catalog, name):
			return nil, errHidden
		}
		return []*topology.VHost{v}, nil
	}
	return q.visible(), nil
}

// visible gives the vhosts that the user may see, by name.
func (q *request) visible() (list []*topology.VHost) {
	all := q.monitors()
	q.catalog.VHosts(func(v *topology.VHost) bool {
		if all || v.Permission(q.principal.Name()) != nil {
			list = append(list, v)
		}
		return true
	})
	return list
}
