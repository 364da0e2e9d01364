package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/broker/topology"
)

// byID gives the settings below a key that has a word for each of several things, by that word and then by what follows it.
func byID(v *settings.Values, key string) (ids []string, said map[string]map[string]settings.Value) {
	said = map[string]map[string]settings.Value{}
	for i := range settings.List {
		name := settings.List[i].Name
		word, below := strings.CutPrefix(name, key+".$id.")
		if !below {
			continue
		}
		words, values := v.Each(name)
		for _, id := range words {
			if said[id] == nil {
				said[id] = map[string]settings.Value{}
			}
			said[id][word] = values[id]
		}
	}
	return slices.Sorted(maps.Keys(said)), said
}

// vhostLimits are the limits of default_limits.
func vhostLimits(v *settings.Values) (list []topology.VHostLimits, err error) {
	ids, said := byID(v, "default_limits.vhosts")
	for _, id := range ids {
		l := topology.VHostLimits{Limits: map[string]int64{}}
		if l.VHosts, err = topology.CompilePattern(cmp.Or(said[id]["pattern"].Text, everything)); err != nil {
			return nil, err
		}
		for word, value := range said[id] {
			if word == "pattern" {
				continue
			}
			if l.Limits[dashed(word)], err = strconv.ParseInt(value.Text, 10, 64); err != nil {
				return nil, err
			}
		}
		list = append(list, l)
	}
	return list, nil
}

// vhostPolicies are the operator policies of default_policies.
func vhostPolicies(v *settings.Values) (list []topology.VHostPolicy, err error) {
	ids, said := byID(v, "default_policies.operator")
	for _, id := range ids {
		of := said[id]
		definition := map[string]any{}
		for word, value := range of {
			switch value.Setting.Kind {
			case settings.Span:
				definition[dashed(word)] = integer(value.Span())
			case settings.Bytes:
				definition[dashed(word)] = integer(value.Bytes())
			case settings.Number:
				definition[dashed(strings.TrimPrefix(word, "classic_queues."))] = json.Number(value.Text)
			}
		}
		p := topology.VHostPolicy{Name: id}
		if p.VHosts, err = topology.CompilePattern(cmp.Or(of["vhost_pattern"].Text, everything)); err != nil {
			return nil, err
		}
		p.Record, err = topology.OperatorPolicy(topology.PolicyWish{
			Pattern: cmp.Or(of["queue_pattern"].Text, everything), ApplyTo: cmp.Or(of["apply_to"].Text, "all"), Definition: definition,
		})
		if err != nil {
			return nil, fmt.Errorf("default_policies.operator.%s: %w", id, err)
		}
		list = append(list, p)
	}
	return list, nil
}

func integer(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// dashed is a key's word as the API calls it.
func dashed(word string) string { return strings.ReplaceAll(word, "_", "-") }
