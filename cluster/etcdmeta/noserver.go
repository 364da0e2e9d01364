//go:build noetcd

package etcdmeta

import (
	"context"
	"errors"
)

// Embedded is what a build with the tag noetcd does not have.
type Embedded struct{}

// Embed says so.
func Embed(context.Context, EmbedOptions) (*Embedded, error) {
	return nil, errors.New("this build has no etcd of its own: unset etcd_embed, and give etcd_endpoints")
}

// Learner is never asked.
func (*Embedded) Learner() (bool, uint64) { return false, 0 }

func (*Embedded) decides() bool { return false }

// Close does nothing.
func (*Embedded) Close() {}
