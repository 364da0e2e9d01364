// Package membership owns which nodes a cluster has, which of them live, and which groups they hold, as all of them see it.
//
//  1. Join gives a node its number, once for its identity, and shows it as alive under the node's lease.
//  2. What changes is told to everybody as a View.
//  3. What should change is written with Place, guarded by the revision it was decided on.
//
// Keys in the metadata store: known/UUID and name/NUMBER for nodes that belong to the cluster, alive/NUMBER for those that
// live, drained/NUMBER for those that are to be spared until somebody says otherwise, leaving/NUMBER for those that are about
// to end, group/NUMBER for groups, size/NUMBER for sizes of groups that queues have asked for, controller for the node that
// decides.
package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/warrenmq/warren/store/meta"
)

// Node is a node of the cluster.
type Node struct {
	ID      uint64 `json:"id"`
	UUID    string `json:"uuid"` // its data directory was born with it
	Name    string `json:"name"`
	Address string `json:"address"` // where it listens for other nodes
	Zone    string `json:"zone,omitempty"`
	Backend bool   `json:"backend"` // it holds groups
	Life    uint64 `json:"life"`    // rises with every start
	// Protocol is what it speaks with other nodes; 0 from before protocols had numbers.
	Protocol uint64 `json:"protocol,omitempty"`
}

// Group is a group for durable queues.
type Group struct {
	Members []uint64 `json:"members"` // the nodes that are to hold it
	First   []uint64 `json:"first"`   // those it began with
	// Size is how many members it is to have, as soon as there are as many nodes; 0 from before groups had sizes of their own.
	Size int `json:"size,omitempty"`
	// Prefer is the member that an operator wants to lead it, 0 if it does not matter.
	Prefer uint64 `json:"prefer,omitempty"`
	// From is the node that was its only member, as long as the members may not have everything yet; 0: they have.
	From uint64 `json:"from,omitempty"`
	// Era is how often the group has begun anew because most of its members were lost, and Kept the node with whose copy it did
	// so the last time; 0: it began with nothing, with the nodes in First.
	Era  uint64 `json:"era,omitempty"`
	Kept uint64 `json:"kept,omitempty"`
}

// View is the cluster at one moment. It is not changed.
type View struct {
	Nodes      map[uint64]Node // that belong to the cluster
	Alive      map[uint64]bool
	Lives      map[uint64]uint64 // of those, which one it is
	Drained    map[uint64]bool   // that are to lead nothing and to have no clients, whether they live or not
	Leaving    map[uint64]bool   // that live, and are about to end
	Groups     map[uint64]Group
	Sizes      map[int]bool // that queues have asked for
	Controller uint64       // the node that decides; 0: none

	revisions map[string]int64
}

// Registry follows the cluster. It is safe for concurrent use.
type Registry struct {
	store meta.Store

	mu        sync.Mutex
	pairs     map[string]meta.KV
	listeners []func(*View)
	view      *View
	stale     chan struct{} // closed when there is another view
}

// Keys.
const (
	knownPrefix   = "known/"
	alivePrefix   = "alive/"
	drainedPrefix = "drained/"
	leavingPrefix = "leaving/"
	groupPrefix   = "group/"
	sizePrefix    = "size/"
	controllerKey = "controller"
)

// maxNode is the highest number of a node: it is part of the numbers of its own groups.
const maxNode = 1<<32 - 1

// Open reads the cluster and follows it.
func Open(ctx context.Context, store meta.Store) (*Registry, error) {
	r := &Registry{store: store, pairs: map[string]meta.KV{}, stale: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	pairs, _, err := store.Load(ctx, r.changed)
	if err != nil {
		return nil, err
	}
	for _, kv := range pairs {
		r.pairs[kv.Key] = kv
	}
	r.view, err = r.read()
	return r, err
}

// changed takes an event of the store.
func (r *Registry) changed(e meta.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kv := range e.Changes {
		if kv.Value == nil {
			delete(r.pairs, kv.Key)
			continue
		}
		r.pairs[kv.Key] = kv
	}
	view, err := r.read()
	if err != nil {
		return // somebody has written what nobody can read: the view stays
	}
	r.view = view
	close(r.stale)
	r.stale = make(chan struct{})
	for _, f := range r.listeners {
		f(view)
	}
}

func (r *Registry) read() (*View, error) {
	v := &View{Nodes: map[uint64]Node{}, Alive: map[uint64]bool{}, Lives: map[uint64]uint64{}, Drained: map[uint64]bool{}, Leaving: map[uint64]bool{}, Groups: map[uint64]Group{}, Sizes: map[int]bool{}, revisions: map[string]int64{}}
	for key, kv := range r.pairs {
		v.revisions[key] = kv.Revision
		if err := v.take(key, kv.Value); err != nil {
			return nil, fmt.Errorf("%s in the metadata: %w", key, err)
		}
	}
	for id, n := range v.Nodes {
		if v.revisions[knownPrefix+n.UUID] == 0 { // it was forgotten, and lives
			delete(v.Nodes, id)
			delete(v.Alive, id)
			delete(v.Lives, id)
		}
	}
	return v, nil
}

func (v *View) take(key string, value []byte) error {
	prefix, rest, _ := strings.Cut(key, "/")
	switch prefix + "/" {
	case knownPrefix, alivePrefix:
		var n Node
		if err := json.Unmarshal(value, &n); err != nil {
			return err
		}
		if prefix+"/" == alivePrefix {
			v.Alive[n.ID], v.Lives[n.ID] = true, n.Life
		}
		if old, ok := v.Nodes[n.ID]; !ok || prefix+"/" == alivePrefix || old.Address == "" {
			v.Nodes[n.ID] = n
		}
	case drainedPrefix, leavingPrefix:
		id, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			return err
		}
		map[string]map[uint64]bool{drainedPrefix: v.Drained, leavingPrefix: v.Leaving}[prefix+"/"][id] = true
	case groupPrefix:
		id, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			return err
		}
		var g Group
		if err := json.Unmarshal(value, &g); err != nil {
			return err
		}
		v.Groups[id] = g
	case sizePrefix:
		size, err := strconv.Atoi(rest)
		if err != nil {
			return err
		}
		v.Sizes[size] = true
	case controllerKey + "/":
		id, err := strconv.ParseUint(string(value), 10, 64)
		v.Controller = id
		return err
	}
	return nil
}

// View is the cluster as of now.
func (r *Registry) View() *View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view
}

// next gives the cluster as of now, and what tells that it has changed.
func (r *Registry) next() (v *View, changed chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view, r.stale
}

// Listen has f called with every View from now on, one at a time, and with the one of now first. f must not wait for the
// Registry.
func (r *Registry) Listen(f func(*View)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, f)
	f(r.view)
}

// Join makes a node one of the cluster, and gives it with its number. A UUID that belongs to it keeps its number. A node that
// had the same name before, with another UUID, has lost its directory and is forgotten; while it lives it is waited for.
func (r *Registry) Join(ctx context.Context, n Node) (Node, error) {
	for {
		v, changed := r.next()
		n.ID = v.numberFor(n.UUID)
		if n.ID > maxNode {
			return n, fmt.Errorf("node number %d is too high", n.ID)
		}
		value, err := json.Marshal(n)
		if err != nil {
			return n, err
		}
		key := knownPrefix + n.UUID
		t := meta.Txn{
			Guards: []meta.Guard{{Key: key, Revision: v.revisions[key]}, {Key: nameKey(n.ID), Revision: v.revisions[nameKey(n.ID)]}},
			Ops:    []meta.Op{{Key: key, Value: value}, {Key: nameKey(n.ID), Value: []byte(n.UUID)}},
		}
		if old, ok := v.namesake(n); ok {
			if v.Alive[old.ID] {
				select {
				case <-changed:
					continue
				case <-ctx.Done():
					return n, fmt.Errorf("a node called %s lives, at %s: give this one another node_name (%w)", n.Name, old.Address, ctx.Err())
				}
			}
			if groups := v.Alone(old.ID); len(groups) > 0 {
				return n, fmt.Errorf("group %d is nowhere but on the node that was called %s before, in another data directory: give this one another name; if that directory is lost for good, give_up_group helps", groups[0], n.Name)
			}
			t.Guards = append(t.Guards, meta.Guard{Key: knownPrefix + old.UUID, Revision: v.revisions[knownPrefix+old.UUID]})
			t.Ops = append(t.Ops, meta.Op{Key: knownPrefix + old.UUID, Delete: true}, meta.Op{Key: drainedPrefix + strconv.FormatUint(old.ID, 10), Delete: true})
		}
		if _, err = r.store.Commit(ctx, t, nil); !errors.Is(err, meta.ErrConflict) {
			return n, err
		}
	}
}

// namesake gives another node with the same name.
func (v *View) namesake(n Node) (Node, bool) {
	for _, other := range v.Nodes {
		if n.Name != "" && other.Name == n.Name && other.UUID != n.UUID {
			return other, true
		}
	}
	return Node{}, false
}

// Alone gives the groups, in order, that nobody but a node holds, or nobody else in full yet.
func (v *View) Alone(node uint64) (groups []uint64) {
	for id, g := range v.Groups {
		if g.From == node || slices.Equal(g.Members, []uint64{node}) {
			groups = append(groups, id)
		}
	}
	slices.Sort(groups)
	return groups
}

func nameKey(id uint64) string { return "name/" + strconv.FormatUint(id, 10) }

// numberFor gives the number of an identity, the next free one if it has none.
func (v *View) numberFor(uuid string) uint64 {
	highest := uint64(0)
	for key := range v.revisions {
		if rest, ok := strings.CutPrefix(key, "name/"); ok { // never given again
			if id, err := strconv.ParseUint(rest, 10, 64); err == nil {
				highest = max(highest, id)
			}
		}
	}
	for id, n := range v.Nodes {
		if n.UUID == uuid {
			return id
		}
	}
	return highest + 1
}

// Live shows a node as alive for as long as its lease holds. It is called again when the lease was lost.
func (r *Registry) Live(ctx context.Context, n Node) error {
	value, err := json.Marshal(n)
	if err != nil {
		return err
	}
	known := knownPrefix + n.UUID
	revision := r.View().revisions[known]
	if revision == 0 {
		return ErrForgotten
	}
	_, err = r.store.Commit(ctx, meta.Txn{
		Guards: []meta.Guard{{Key: known, Revision: revision}},
		Ops:    []meta.Op{{Key: alivePrefix + strconv.FormatUint(n.ID, 10), Value: value, Ephemeral: true}},
	}, nil)
	return err
}

// ErrForgotten is returned for a node that does not belong to the cluster any more.
var ErrForgotten = errors.New("the cluster has forgotten this node, or another has taken its place: it can only begin anew, with an empty data directory")

// Control makes the node the one that decides, if there is none. It goes with the node's lease.
func (r *Registry) Control(ctx context.Context, id uint64) error {
	_, err := r.store.Commit(ctx, meta.Txn{
		Guards: []meta.Guard{{Key: controllerKey}},
		Ops:    []meta.Op{{Key: controllerKey, Value: strconv.AppendUint(nil, id, 10), Ephemeral: true}},
	}, nil)
	if errors.Is(err, meta.ErrConflict) {
		return nil // somebody else does
	}
	return err
}

// Place writes groups, each guarded by what v knows of it. The error is meta.ErrConflict if v is too old.
func (r *Registry) Place(ctx context.Context, v *View, groups map[uint64]Group) error {
	var t meta.Txn
	if err := place(&t, v, groups); err != nil {
		return err
	}
	_, err := r.store.Commit(ctx, t, nil)
	return err
}

// place adds groups to a transaction.
func place(t *meta.Txn, v *View, groups map[uint64]Group) error {
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		key := groupPrefix + strconv.FormatUint(id, 10)
		value, err := json.Marshal(groups[id])
		if err != nil {
			return err
		}
		t.Guards = append(t.Guards, meta.Guard{Key: key, Revision: v.revisions[key]})
		t.Ops = append(t.Ops, meta.Op{Key: key, Value: value})
	}
	return nil
}
