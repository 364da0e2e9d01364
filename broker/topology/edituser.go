package topology

import (
	"context"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// PutUser makes a user, or changes what change changes of one that is there.
func (e *Editor) PutUser(ctx context.Context, name string, change func(*UserRecord) error, durable func(error)) (created bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		k := key(sectionUser, name)
		u := c.User(name)
		created = u == nil
		var record UserRecord
		guard := meta.Guard{Key: k}
		if u != nil {
			record, guard.Revision = u.UserRecord, u.Revision
			record.Limits = make(map[string]int64, len(u.Limits))
			for limit, n := range u.Limits {
				record.Limits[limit] = n
			}
		}
		if err := change(&record); err != nil {
			return meta.Txn{}, err
		}
		return meta.Txn{Guards: []meta.Guard{guard}, Ops: []meta.Op{put(k, &record, false)}}, nil
	})
	return created, err
}

// DeleteUser removes a user with all permissions. existed tells whether there was one.
func (e *Editor) DeleteUser(ctx context.Context, name string, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		u := c.User(name)
		existed = u != nil
		if !existed {
			return meta.Txn{}, nil
		}
		k := key(sectionUser, name)
		txn := meta.Txn{Guards: []meta.Guard{{Key: k, Revision: u.Revision}}, Ops: []meta.Op{drop(k)}}
		c.VHosts(func(v *VHost) bool {
			if v.Permission(name) != nil {
				txn.Ops = append(txn.Ops, drop(key(sectionPermission, v.Name, name)))
			}
			v.TopicPermissions(func(p *TopicPermission) bool {
				if p.User == name {
					txn.Ops = append(txn.Ops, drop(key(sectionTopic, v.Name, name, p.Exchange)))
				}
				return true
			})
			return true
		})
		return txn, nil
	})
	return existed, err
}

// ErrNoVHostOrUser is returned for a permission whose vhost or user is not there.
var ErrNoVHostOrUser = &protocol.Error{Code: protocol.CodeNotFound, Text: "vhost_or_user_not_found"}

// ErrNoExchange is returned for a topic permission whose exchange is not there.
var ErrNoExchange = &protocol.Error{Code: protocol.CodeNotFound, Text: "no_such_exchange"}

// PutPermission lets a user do things in a vhost. A pattern that cannot be read is refused.
func (e *Editor) PutPermission(ctx context.Context, vhost, user, configure, write, read string, durable func(error)) (created bool, err error) {
	for _, text := range []string{configure, write, read} {
		if _, err := CompilePattern(text); err != nil {
			return false, &PatternError{Pattern: text, Err: err}
		}
	}
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v, u := c.VHost(vhost), c.User(user)
		if v == nil || u == nil {
			return meta.Txn{}, ErrNoVHostOrUser
		}
		created = v.Permission(user) == nil
		return meta.Txn{
			Guards: []meta.Guard{{Key: key(sectionVHost, vhost), Revision: v.Revision}, {Key: key(sectionUser, user), Revision: u.Revision}},
			Ops:    []meta.Op{put(key(sectionPermission, vhost, user), &permissionRecord{configure, write, read}, false)},
		}, nil
	})
	return created, err
}

// DeletePermission takes it back. existed tells whether there was one.
func (e *Editor) DeletePermission(ctx context.Context, vhost, user string, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		existed = v != nil && v.Permission(user) != nil
		if !existed {
			return meta.Txn{}, nil
		}
		return meta.Txn{Ops: []meta.Op{drop(key(sectionPermission, vhost, user))}}, nil
	})
	return existed, err
}

// PutTopicPermission narrows the routing keys that a user may use with an exchange of a vhost.
func (e *Editor) PutTopicPermission(ctx context.Context, vhost, user, exchange, write, read string, durable func(error)) (created bool, err error) {
	filled := TopicPermission{VHost: vhost, User: user}
	for _, text := range []string{write, read} {
		if _, err := filled.compile(text); err != nil { // as it will be used, with the names in their places
			return false, &PatternError{Pattern: text, Err: err}
		}
	}
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v, u := c.VHost(vhost), c.User(user)
		if v == nil || u == nil {
			return meta.Txn{}, ErrNoVHostOrUser
		}
		if v.Exchange(exchange) == nil {
			return meta.Txn{}, ErrNoExchange
		}
		created = v.TopicPermission(user, exchange) == nil
		return meta.Txn{
			Guards: []meta.Guard{{Key: key(sectionVHost, vhost), Revision: v.Revision}, {Key: key(sectionUser, user), Revision: u.Revision}},
			Ops:    []meta.Op{put(key(sectionTopic, vhost, user, exchange), &topicRecord{write, read}, false)},
		}, nil
	})
	return created, err
}

// DeleteTopicPermissions takes back what narrows a user's routing keys: for one exchange, or with a nil exchange for all
// of the vhost. existed tells whether there was any.
func (e *Editor) DeleteTopicPermissions(ctx context.Context, vhost, user string, exchange *string, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		var txn meta.Txn
		if v := c.VHost(vhost); v != nil {
			v.TopicPermissions(func(p *TopicPermission) bool {
				if p.User == user && (exchange == nil || *exchange == p.Exchange) {
					txn.Ops = append(txn.Ops, drop(key(sectionTopic, vhost, user, p.Exchange)))
				}
				return true
			})
		}
		existed = len(txn.Ops) > 0
		return txn, nil
	})
	return existed, err
}

// userLimits are the limits a user may have.
var userLimits = []string{"max-connections", "max-channels"}

// SetUserLimit limits what a user may have; value is as JSON gave it.
func (e *Editor) SetUserLimit(ctx context.Context, user, limit string, value any, durable func(error)) error {
	return e.changeLimits(ctx, user, durable, func(limits map[string]int64) error {
		n, fault := readLimit(userLimits, limit, value, "user-limits")
		if fault != "" {
			return &protocol.Error{Code: protocol.CodePreconditionFailed, Text: fault}
		}
		limits[limit] = n
		return nil
	})
}

// ClearUserLimit takes a limit away; one that is not set is fine.
func (e *Editor) ClearUserLimit(ctx context.Context, user, limit string, durable func(error)) error {
	return e.changeLimits(ctx, user, durable, func(limits map[string]int64) error {
		delete(limits, limit)
		return nil
	})
}

// ErrNoUser is returned for a limit of a user that is not there.
var ErrNoUser = &protocol.Error{Code: protocol.CodeNotFound, Text: "no_such_user"}

func (e *Editor) changeLimits(ctx context.Context, user string, durable func(error), change func(map[string]int64) error) error {
	_, err := e.PutUser(ctx, user, func(r *UserRecord) error {
		if r.Limits == nil { // PutUser makes the map for a user there is
			return ErrNoUser
		}
		return change(r.Limits)
	}, durable)
	return err
}
