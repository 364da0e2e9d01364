package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/broker/topology"
)

// newcomers are the users of default_users.
func newcomers(v *settings.Values) (list []topology.Newcomer, err error) {
	said := map[string]map[string]string{} // by user, then by the last word of the key
	for _, word := range []string{"password", "tags", "vhost_pattern", "configure", "write", "read"} {
		names, values := v.Each("default_users.$name." + word)
		for _, name := range names {
			if said[name] == nil {
				said[name] = map[string]string{}
			}
			said[name][word] = values[name].Text
		}
	}
	algorithm := hashes[v.Text("password_hash")]
	for _, name := range slices.Sorted(maps.Keys(said)) {
		of := said[name]
		vhosts, err := topology.CompilePattern(cmp.Or(of["vhost_pattern"], everything))
		if err != nil {
			return nil, err
		}
		list = append(list, topology.Newcomer{
			Name: name, VHosts: vhosts, Configure: cmp.Or(of["configure"], everything), Write: cmp.Or(of["write"], everything),
			Read: cmp.Or(of["read"], everything), Record: func() (topology.UserRecord, error) { return newcomer(of, algorithm) },
		})
	}
	return list, nil
}

// everything is a pattern that every name has.
const everything = ".*"

// newcomer makes the record of a user. Without a password it has none, and cannot log in by one.
func newcomer(of map[string]string, algorithm string) (r topology.UserRecord, err error) {
	r.Algorithm = algorithm
	for tag := range strings.SplitSeq(of["tags"], ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			r.Tags = append(r.Tags, tag)
		}
	}
	if of["password"] != "" {
		r.PasswordHash, err = auth.Hash(algorithm, of["password"])
	}
	return r, err
}
