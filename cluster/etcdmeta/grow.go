package etcdmeta

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// How long it rests before it tries again. etcd takes one new member at a time, and only when all it has are well.
const (
	growPause = time.Second
	votePause = 100 * time.Millisecond
)

// growTime bounds one try.
const growTime = 5 * time.Second

// Grow makes a member that has no data yet one of the etcd that the client is connected to: at first without a vote. It is
// called before Embed, and does nothing for a member that has data. What was begun before a crash is gone on with.
func (o *EmbedOptions) Grow(ctx context.Context, client *clientv3.Client) error {
	if !o.fresh() {
		return nil
	}
	_, peer := o.advertised()
	return again(ctx, growPause, "adding a member to etcd", func(ctx context.Context) (bool, error) {
		list, err := client.MemberList(ctx)
		if err != nil {
			return false, err
		}
		members := list.Members
		known := slices.IndexFunc(members, func(m *etcdserverpb.Member) bool { return slices.Contains(m.PeerURLs, peer) })
		if known >= 0 && members[known].Name != "" {
			return true, fmt.Errorf("etcd has a member %s at %s, and its data is not here: remove it (etcdctl member remove %x) before another takes its place",
				members[known].Name, peer, members[known].ID)
		}
		if slices.ContainsFunc(members, func(m *etcdserverpb.Member) bool { return m.Name == o.Name }) {
			return true, fmt.Errorf("etcd has a member %s already: give this node another node_name", o.Name)
		}
		if known < 0 {
			added, err := client.MemberAddAsLearner(ctx, []string{peer})
			if err != nil {
				return false, err
			}
			members = added.Members
		}
		o.Members, o.Joining = o.initial(members, peer), true
		return true, nil
	})
}

// initial is how the cluster is told to a new member: all there are, with itself.
func (o *EmbedOptions) initial(members []*etcdserverpb.Member, peer string) string {
	var list []string
	for _, m := range members {
		name := m.Name
		if slices.Contains(m.PeerURLs, peer) {
			name = o.Name
		}
		for _, url := range m.PeerURLs {
			list = append(list, name+"="+url)
		}
	}
	return strings.Join(list, ",")
}

// Vote gives the member its vote as soon as it has everything, and waits until it knows of that itself: before, it answers no
// client. One that has it is left alone.
func (e *Embedded) Vote(ctx context.Context, client *clientv3.Client) error {
	return again(ctx, votePause, "giving a member of etcd its vote", func(ctx context.Context) (bool, error) {
		learner, member := e.Learner()
		if !learner {
			return true, nil
		}
		_, err := client.MemberPromote(ctx, member)
		return false, err
	})
}

// again calls do until it is done or ctx ends.
func again(ctx context.Context, pause time.Duration, what string, do func(context.Context) (done bool, err error)) error {
	for {
		once, cancel := context.WithTimeout(ctx, growTime)
		done, err := do(once)
		cancel()
		if done {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", what, cmp.Or(err, ctx.Err()))
		}
	}
}

// ClientURLs are where the members that vote are reached as clients.
func ClientURLs(ctx context.Context, client *clientv3.Client) (list []string, err error) {
	members, err := client.MemberList(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	for _, m := range members.Members {
		if !m.IsLearner {
			list = append(list, m.ClientURLs...)
		}
	}
	return list, nil
}
