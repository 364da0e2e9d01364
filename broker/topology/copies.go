package topology

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/protocol"
)

// Copies is on how many nodes a queue is to lie that is about to be declared: what its arguments say, or else its policies; 0
// if they say nothing.
func (q *Queue) Copies(c *Catalog) int64 {
	argument, key := "x-quorum-initial-group-size", "target-group-size"
	switch q.Type {
	case "quorum":
	case "stream":
		argument, key = "x-initial-cluster-size", "initial-cluster-size"
	default:
		return 0
	}
	if n, ok := argumentInteger(q.Table, argument); ok {
		return n
	}
	v := c.VHost(q.VHost)
	if v == nil {
		return 0
	}
	said, _ := argumentInteger(q.Table, "x-quorum-target-group-size") // as in RabbitMQ, not checked
	for _, policies := range [][]*Policy{v.policies, v.operators} {
		if n, ok := first(policies, func(p *Policy) bool { return p.forQueue(q) }).number(key); ok {
			said = max(said, n)
		}
	}
	return max(said, 0)
}

// noGroup is the error that there is no group yet in which a queue can be.
type noGroup struct {
	where  string
	copies int64
}

// Error implements error.
func (n *noGroup) Error() string { return "there is no group for " + n.where }

// place chooses the group of a new queue.
func (e *Editor) place(c *Catalog, q *Queue, where string) (uint64, error) {
	group := e.Place(c, q)
	if group == 0 && e.Prepare != nil {
		return 0, &noGroup{where, q.Copies(c)}
	}
	return group, nil
}

// placed makes an edit that places a queue, and if there is no group for it waits until there is one: outside of the edit, so
// that others go on.
func (e *Editor) placed(ctx context.Context, edit func() error) error {
	waiting, cancel := context.WithTimeout(ctx, editTime)
	defer cancel()
	for {
		err := edit()
		var none *noGroup
		if !errors.As(err, &none) {
			return err
		}
		if err := e.Prepare(waiting, none.copies); err != nil {
			return &protocol.Error{Code: protocol.CodeInternalError, Text: fmt.Sprintf("cannot declare %s: %v", none.where, err)}
		}
	}
}
