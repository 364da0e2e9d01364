package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/authority"
	"github.com/warrenmq/warren/cluster/etcdmeta"
)

var errClusterUsage = errors.New("usage: warren cluster init [--authority FILE] [FLAGS] | token [--valid TIME] [--revoke] [FLAGS] | join TOKEN ADDRESS [FLAGS] | recover [--force] [FLAGS]")

// clusterCall is a warren cluster command: its own flags, what it is about, and the settings of the node.
type clusterCall struct {
	authority string // a file to adopt
	valid     time.Duration
	revoke    bool
	force     bool
	args      []string
	values    *settings.Values
	dir       authority.Dir
	out       io.Writer
}

// clusterCommand makes this node's directory one of a cluster's.
func clusterCommand(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errClusterUsage
	}
	c := &clusterCall{valid: authority.TokenLife, out: out}
	if err := c.parse(args[1:]); err != nil {
		return err
	}
	switch command := args[0]; {
	case command == "init" && len(c.args) == 0:
		return c.init()
	case command == "token" && len(c.args) == 0:
		return c.token()
	case command == "join" && len(c.args) == 2:
		return c.join()
	case command == "recover" && len(c.args) == 0:
		return c.recover()
	}
	return errClusterUsage
}

// parse reads the flags of the command and those of the node, before, between and behind what it is about.
func (c *clusterCall) parse(args []string) error {
	args, err := c.own(args)
	if err != nil {
		return err
	}
	from := ownSources()
	from.Flags = map[string]string{}
	for len(args) > 0 {
		flags, rest, err := settings.ReadFlags(args)
		if err != nil {
			return err
		}
		maps.Copy(from.Flags, flags)
		if args = rest; len(args) > 0 {
			c.args, args = append(c.args, args[0]), args[1:]
		}
	}
	if c.values, err = settings.Load(from); err == nil {
		c.dir = clusterDir(c.values)
	}
	return err
}

// own takes the command's own flags out of its arguments.
func (c *clusterCall) own(args []string) (rest []string, err error) {
	for len(args) > 0 {
		given := args[0]
		flag, value, assigned := strings.Cut(given, "=")
		args = args[1:]
		switch {
		case flag == "--revoke" && !assigned:
			c.revoke = true
			continue
		case flag == "--force" && !assigned:
			c.force = true
			continue
		case flag != "--authority" && flag != "--valid":
			rest = append(rest, given)
			continue
		case !assigned && len(args) == 0:
			return nil, fmt.Errorf("the flag %s wants a value", flag)
		case !assigned:
			value, args = args[0], args[1:]
		}
		if flag == "--authority" {
			c.authority = value
		} else if c.valid, err = time.ParseDuration(value); err != nil || c.valid <= 0 {
			return nil, fmt.Errorf("--valid %s is no time; write one like 30m or 24h", value)
		}
	}
	return rest, nil
}

// names are what the node's certificate is for: where others reach it.
func (c *clusterCall) names() (authority.Names, error) {
	v := c.values
	at := func(listen, address string) string {
		if said := v.Text(address); said != "" {
			return said
		}
		return v.Address(listen)
	}
	addresses := []string{at("cluster_listen", "cluster_address")}
	if addresses[0] == "" {
		return authority.Names{}, errors.New("give --cluster-listen, or --cluster-address: the certificate is for where others reach this node")
	}
	if v.Boolean("etcd_embed") {
		addresses = append(addresses, at("etcd_listen", "etcd_address"), at("etcd_peer_listen", "etcd_peer_address"))
	}
	names, err := authority.NamesOf(addresses...)
	if errors.Is(err, authority.ErrNoAddress) {
		return names, fmt.Errorf("%w: give --cluster-address, --etcd-address, --etcd-peer-address as others reach it", err)
	}
	return names, err
}

// init makes the authority, or takes the one it is given, and this node's certificate. What is there already stays.
func (c *clusterCall) init() error {
	names, err := c.names()
	if err != nil {
		return err
	}
	var a *authority.Authority
	if c.authority != "" {
		a, err = c.dir.Adopt(c.authority)
	} else {
		a, err = c.create()
	}
	if err != nil {
		return err
	}
	made, err := c.dir.Issue(a, names, time.Now(), c.values.Duration("cluster_tls.lifetime"))
	if err != nil {
		return err
	}
	if !made {
		fmt.Fprintf(c.out, "%s is in order as it is\n", c.dir)
		return nil
	}
	fmt.Fprintf(c.out, "%s holds this node's certificate\n", c.dir)
	if c.authority != "" {
		return nil
	}
	return c.token()
}

// create makes the authority of a new cluster. A node that joined one is none.
func (c *clusterCall) create() (*authority.Authority, error) {
	if _, err := c.dir.Joined(); !errors.Is(err, authority.ErrNone) {
		return nil, fmt.Errorf("%s belongs to a cluster that this node has joined", c.dir)
	}
	return c.dir.Create(time.Now())
}

// token gives out a token, or takes all back.
func (c *clusterCall) token() error {
	if c.revoke {
		return c.dir.Revoke()
	}
	a, err := c.dir.Authority()
	if errors.Is(err, authority.ErrNone) {
		return fmt.Errorf("%s has no authority: tokens are given out where warren cluster init was called", c.dir)
	}
	if err != nil {
		return err
	}
	t, err := c.dir.NewToken(a, time.Now(), c.valid)
	if err != nil {
		return err
	}
	where := c.values.Text("cluster_address")
	if where == "" {
		where = c.values.Address("cluster_listen")
	}
	if where == "" {
		fmt.Fprintln(c.out, t)
		return nil
	}
	fmt.Fprintf(c.out, "while this node runs, and for %v, others join with\n\n  warren cluster join %s %s --cluster-listen ADDRESS\n\n", c.valid, t, where)
	return nil
}

// join gets this node its certificate. The token may be in a file, so that it stands in no list of processes: @FILE.
func (c *clusterCall) join() error {
	text := c.args[0]
	if file, ok := strings.CutPrefix(text, "@"); ok {
		data, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return err
		}
		text = string(data)
	}
	t, err := authority.ParseToken(text)
	if err != nil {
		return err
	}
	names, err := c.names()
	if err != nil {
		return err
	}
	if err := c.dir.Join(context.Background(), t, c.args[1], names, time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s holds this node's certificate, and where the cluster is\n", c.dir)
	return nil
}

// recover makes this node's member of etcd the only one, when most are lost for good.
func (c *clusterCall) recover() error {
	o, _, err := clusterOptions(c.values, c.values.Text("data_dir"))
	if err != nil {
		return err
	}
	if o.Embed == nil {
		return errors.New("this node has no etcd (etcd_embed): one that runs elsewhere is restored as its manual says")
	}
	if !c.force {
		return errors.New("the member of etcd on this node would be the only one, with what it has: what only other members had is lost, and they " +
			"must never be started again with their directories. If most of them are lost for good, stop this node, and say so: --force")
	}
	o.Embed.Logger = zerolog.New(c.out).Level(zerolog.Disabled)
	ctx, stop := context.WithTimeout(context.Background(), joinTime)
	defer stop()
	if err := etcdmeta.GiveUpOthers(ctx, *o.Embed); err != nil {
		return err
	}
	fmt.Fprintln(c.out, "the member of etcd on this node is the only one now: start the node, and see warren doctor")
	return nil
}
