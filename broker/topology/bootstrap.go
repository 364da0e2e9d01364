package topology

import (
	"context"
)

// Defaults are what an empty broker begins with.
type Defaults struct {
	VHost                  string
	User                   string
	Record                 UserRecord
	Configure, Write, Read string
}

// Bootstrap gives a broker that has no vhost its first one, and its first user full rights in it.
func (e *Editor) Bootstrap(ctx context.Context, d Defaults) error {
	c := e.Catalog()
	if c.vhosts.Len() > 0 || c.users.Len() > 0 {
		return nil
	}
	if _, err := e.PutVHost(ctx, d.VHost, func(r *VHostRecord) { r.Description = "Default virtual host" }, nil); err != nil {
		return err
	}
	if d.User == "" {
		return nil
	}
	if _, err := e.PutUser(ctx, d.User, func(r *UserRecord) error { *r = d.Record; return nil }, nil); err != nil {
		return err
	}
	_, err := e.PutPermission(ctx, d.VHost, d.User, d.Configure, d.Write, d.Read, nil)
	return err
}
