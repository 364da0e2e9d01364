package auth

import (
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// Principal is somebody who has logged in.
type Principal struct {
	user     string
	operator bool
}

// System is the broker itself, which may do everything.
var System = topology.Unlimited("rmq-internal")

// Name is the user's name.
func (p Principal) Name() string { return p.user }

// Authorize refuses what the user may not do with a resource of the vhost; kind is "queue" or "exchange".
func (p Principal) Authorize(c *topology.Catalog, vhost string, o topology.Operation, kind, name string) *protocol.Error {
	if p.operator {
		return nil
	}
	if kind == "exchange" && name == "" {
		name = "amq.default"
	}
	if v := c.VHost(vhost); v != nil && v.Permission(p.user).Permits(o, name) {
		return nil
	}
	return protocol.AccessRefused("%s access to %s '%s' in vhost '%s' refused for user '%s'", o, kind, name, vhost, p.user)
}

// AuthorizeAny refuses unless the user may do anything at all with the resource.
func (p Principal) AuthorizeAny(c *topology.Catalog, vhost, kind, name string) *protocol.Error {
	if p.Authorize(c, vhost, topology.Write, kind, name) == nil || p.Authorize(c, vhost, topology.Read, kind, name) == nil {
		return nil
	}
	return p.Authorize(c, vhost, topology.Configure, kind, name)
}

// AuthorizeTopic refuses a routing key that the user may not use with a topic exchange. Without a topic permission for
// the exchange every key may be used.
func (p Principal) AuthorizeTopic(c *topology.Catalog, vhost string, o topology.Operation, exchange, routingKey string) *protocol.Error {
	v := c.VHost(vhost)
	if v == nil || p.operator {
		return nil
	}
	if t := v.TopicPermission(p.user, exchange); t == nil || t.Permits(o, routingKey) {
		return nil
	}
	return protocol.AccessRefused("%s access to topic '%s' in exchange '%s' in vhost '%s' refused for user '%s'", o, routingKey, exchange, vhost, p.user)
}

// MayEnter tells whether the user has any permission in the vhost.
func (p Principal) MayEnter(c *topology.Catalog, vhost string) bool {
	v := c.VHost(vhost)
	return v != nil && (p.operator || v.Permission(p.user) != nil)
}

// HasTag tells whether the user has one of the tags. An operator has all.
func (p Principal) HasTag(c *topology.Catalog, tags ...string) bool {
	if p.operator {
		return true
	}
	u := c.User(p.user)
	return u != nil && u.HasTag(tags...)
}
