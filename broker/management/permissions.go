package management

import (
	"errors"

	"github.com/warrenmq/warren/broker/topology"
)

func permissionRoutes() []route {
	return []route{
		{"GET", "/permissions", administrator, (*request).listPermissions, "Who may do what where"},
		{"GET", "/permissions/{vhost}/{user}", administrator, (*request).getPermission, "What a user may do in a vhost"},
		{"PUT", "/permissions/{vhost}/{user}", administrator, (*request).putPermission, "Let a user do things in a vhost"},
		{"DELETE", "/permissions/{vhost}/{user}", administrator, (*request).deletePermission, "Let a user into a vhost no more"},
		{"GET", "/topic-permissions", administrator, (*request).listTopicPermissions, "Which routing keys users may use"},
		{"GET", "/topic-permissions/{vhost}/{user}", administrator, (*request).getTopicPermissions, "A user's topic permissions in a vhost"},
		{"PUT", "/topic-permissions/{vhost}/{user}", administrator, (*request).putTopicPermission, "Narrow a user's routing keys"},
		{"DELETE", "/topic-permissions/{vhost}/{user}", administrator, (*request).deleteTopicPermissions, "Widen them again"},
		{"GET", "/topic-permissions/{vhost}/{user}/{exchange}", administrator, (*request).getTopicPermissions, "The same as without the exchange"},
		{"PUT", "/topic-permissions/{vhost}/{user}/{exchange}", administrator, (*request).putTopicPermission, "The same as without the exchange"},
		{"DELETE", "/topic-permissions/{vhost}/{user}/{exchange}", administrator, (*request).deleteTopicPermissions, "Widen a user's routing keys with one exchange"},
	}
}

func permissionObject(p *topology.Permission) object {
	return object{
		"user": p.User, "vhost": p.VHost, "configure": p.Configure.String(), "write": p.Write.String(), "read": p.Read.String(),
	}
}

func topicPermissionObject(p *topology.TopicPermission) object {
	return object{"user": p.User, "vhost": p.VHost, "exchange": p.Exchange, "write": p.Write, "read": p.Read}
}

// permissions gives the permissions of all vhosts that suit.
func permissions(c *topology.Catalog, suits func(*topology.Permission) bool) *list {
	all := []object{}
	c.VHosts(func(v *topology.VHost) bool {
		v.Permissions(func(p *topology.Permission) bool {
			if suits(p) {
				all = append(all, permissionObject(p))
			}
			return true
		})
		return true
	})
	return listOf(all)
}

func topicPermissions(c *topology.Catalog, suits func(*topology.TopicPermission) bool) []object {
	all := []object{}
	c.VHosts(func(v *topology.VHost) bool {
		v.TopicPermissions(func(p *topology.TopicPermission) bool {
			if suits(p) {
				all = append(all, topicPermissionObject(p))
			}
			return true
		})
		return true
	})
	return all
}

func (q *request) listPermissions() (answer, error) {
	return ok(permissions(q.catalog, func(*topology.Permission) bool { return true }))
}

func (q *request) listVHostPermissions() (answer, error) {
	name := q.values["vhost"]
	if q.catalog.VHost(name) == nil {
		return answer{}, errNotFound
	}
	return ok(permissions(q.catalog, func(p *topology.Permission) bool { return p.VHost == name }))
}

func (q *request) listUserPermissions() (answer, error) {
	name := q.values["user"]
	if q.catalog.User(name) == nil {
		return answer{}, errNotFound
	}
	return ok(permissions(q.catalog, func(p *topology.Permission) bool { return p.User == name }))
}

func (q *request) getPermission() (answer, error) {
	if v := q.catalog.VHost(q.values["vhost"]); v != nil {
		if p := v.Permission(q.values["user"]); p != nil {
			return ok(permissionObject(p))
		}
	}
	return answer{}, errNotFound
}

// patterns reads patterns in a body.
func patterns(body object, names ...string) ([]string, error) {
	list := make([]string, len(names))
	for i, name := range names {
		pattern, isText := body[name].(string)
		if !isText {
			return nil, badRequest([]any{"not_string", name})
		}
		list[i] = pattern
	}
	return list, nil
}

func (q *request) putPermission() (answer, error) {
	body, err := q.body("configure", "write", "read")
	if err != nil {
		return answer{}, err
	}
	p, err := patterns(body, "configure", "write", "read")
	if err != nil {
		return answer{}, err
	}
	created, err := q.server.Editor.PutPermission(q.context(), q.values["vhost"], q.values["user"], p[0], p[1], p[2], nil)
	return put(created, nobodyThere(err))
}

// nobodyThere makes a missing vhost or user what RabbitMQ makes of it.
func nobodyThere(err error) error {
	if errors.Is(err, topology.ErrNoVHostOrUser) {
		return badRequest(topology.ErrNoVHostOrUser.Text)
	}
	return err
}

func (q *request) deletePermission() (answer, error) {
	return removed(q.server.Editor.DeletePermission(q.context(), q.values["vhost"], q.values["user"], nil))
}

func (q *request) listTopicPermissions() (answer, error) {
	return ok(listOf(topicPermissions(q.catalog, func(*topology.TopicPermission) bool { return true })))
}

func (q *request) listVHostTopicPermissions() (answer, error) {
	name := q.values["vhost"]
	if q.catalog.VHost(name) == nil {
		return answer{}, errNotFound
	}
	return ok(listOf(topicPermissions(q.catalog, func(p *topology.TopicPermission) bool { return p.VHost == name })))
}

func (q *request) listUserTopicPermissions() (answer, error) {
	name := q.values["user"]
	if q.catalog.User(name) == nil {
		return answer{}, errNotFound
	}
	return ok(listOf(topicPermissions(q.catalog, func(p *topology.TopicPermission) bool { return p.User == name })))
}

// getTopicPermissions gives those for all exchanges, even if the path names one.
func (q *request) getTopicPermissions() (answer, error) {
	found := topicPermissions(q.catalog, func(p *topology.TopicPermission) bool {
		return p.VHost == q.values["vhost"] && p.User == q.values["user"]
	})
	if len(found) == 0 {
		return answer{}, errNotFound
	}
	return ok(listOf(found))
}

func (q *request) putTopicPermission() (answer, error) {
	body, err := q.body("exchange", "write", "read")
	if err != nil {
		return answer{}, err
	}
	p, err := patterns(body, "exchange", "write", "read")
	if err != nil {
		return answer{}, err
	}
	vhost, user := q.values["vhost"], q.values["user"]
	had := len(topicPermissions(q.catalog, func(p *topology.TopicPermission) bool { return p.VHost == vhost && p.User == user })) > 0
	_, err = q.server.Editor.PutTopicPermission(q.context(), vhost, user, p[0], p[1], p[2], nil)
	var pattern *topology.PatternError
	switch {
	case errors.Is(err, topology.ErrNoExchange):
		return answer{}, badRequest([]any{topology.ErrNoExchange.Text, p[0]})
	case errors.As(err, &pattern):
		reason, at := pattern.Describe()
		return answer{}, badRequest([]any{"invalid_regexp", pattern.Pattern, []any{characters(reason), at}})
	}
	return put(!had, nobodyThere(err))
}

// deleteTopicPermissions takes them back; for an exchange that has none there is nothing to do.
func (q *request) deleteTopicPermissions() (answer, error) {
	vhost, user := q.values["vhost"], q.values["user"]
	if len(topicPermissions(q.catalog, func(p *topology.TopicPermission) bool { return p.VHost == vhost && p.User == user })) == 0 {
		return answer{}, errNotFound
	}
	var only *string
	if exchange, given := q.values["exchange"]; given {
		only = &exchange
	}
	if _, err := q.server.Editor.DeleteTopicPermissions(q.context(), vhost, user, only, nil); err != nil {
		return answer{}, err
	}
	return done()
}
