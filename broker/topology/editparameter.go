package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/store/meta"
)

// Components of runtime parameters that are stored elsewhere than with the others: as a vhost's limits, as policies.
const (
	ComponentLimits   = "vhost-limits"
	ComponentOperator = "operator_policy"
	ComponentPolicy   = "policy"
)

// vhostLimits are the limits a vhost may have.
var vhostLimits = []string{"max-connections", "max-queues"}

// readLimit reads a limit as JSON gave it, or says what is wrong with it.
func readLimit(known []string, name string, value any, where string) (n int64, fault string) {
	if !slices.Contains(known, name) {
		return 0, fmt.Sprintf("Unrecognised terms [{%s,%s}] in %s", jsonTerm(name), jsonTerm(value), where)
	}
	if isInteger(value) {
		if n, err := value.(json.Number).Int64(); err == nil {
			return n, ""
		}
	}
	return 0, fmt.Sprintf("%s should be a number, actually was %s", name, jsonTerm(value))
}

// SetVHostLimit limits what a vhost may have; value is as JSON gave it.
func (e *Editor) SetVHostLimit(ctx context.Context, vhost, limit string, value any, durable func(error)) error {
	n, fault := readLimit(vhostLimits, limit, value, "limits")
	if fault != "" {
		return ValidationError(fault)
	}
	return e.changeVHost(ctx, vhost, durable, func(r *VHostRecord) { r.Limits[limit] = n })
}

// ClearVHostLimit takes a limit away; one that is not set is fine.
func (e *Editor) ClearVHostLimit(ctx context.Context, vhost, limit string, durable func(error)) error {
	return e.changeVHost(ctx, vhost, durable, func(r *VHostRecord) { delete(r.Limits, limit) })
}

// ReplaceVHostLimits sets all limits of a vhost; value is as JSON gave it.
func (e *Editor) ReplaceVHostLimits(ctx context.Context, vhost string, value any, durable func(error)) error {
	wish, ok := value.(map[string]any)
	if !ok {
		return ValidationError("limits not a list " + jsonTerm(value))
	}
	limits := map[string]int64{}
	for _, name := range sortedNames(wish) {
		n, fault := readLimit(vhostLimits, name, wish[name], "limits")
		if fault != "" {
			return ValidationError(fault)
		}
		limits[name] = n
	}
	return e.changeVHost(ctx, vhost, durable, func(r *VHostRecord) { r.Limits = limits })
}

// changeVHost changes a vhost that is there.
func (e *Editor) changeVHost(ctx context.Context, vhost string, durable func(error), change func(*VHostRecord)) error {
	return e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		if v == nil {
			return meta.Txn{}, ErrNoVHost
		}
		k := key(sectionVHost, vhost)
		record := v.VHostRecord.clone()
		change(&record)
		return meta.Txn{Guards: []meta.Guard{{Key: k, Revision: v.Revision}}, Ops: []meta.Op{put(k, &record, false)}}, nil
	})
}

// ProtectVHost lets a vhost be deleted no more, or again.
func (e *Editor) ProtectVHost(ctx context.Context, vhost string, protected bool, durable func(error)) error {
	return e.changeVHost(ctx, vhost, durable, func(r *VHostRecord) { r.Protected = protected })
}

// ClusterNameParameter is the global parameter that names the cluster.
const ClusterNameParameter = "cluster_name"

// ClusterName is what the cluster was named, or what it is called otherwise.
func (c *Catalog) ClusterName(otherwise string) string {
	var name string
	if p := c.Global(ClusterNameParameter); p != nil && json.Unmarshal(p.Value, &name) == nil {
		return name
	}
	return otherwise
}

// PutGlobal sets a global parameter to any JSON value.
func (e *Editor) PutGlobal(ctx context.Context, name string, value any, durable func(error)) (created bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		created = c.Global(name) == nil
		return meta.Txn{Ops: []meta.Op{put(key(sectionGlobal, name), value, false)}}, nil
	})
	return created, err
}

// DeleteGlobal removes a global parameter. existed tells whether there was one.
func (e *Editor) DeleteGlobal(ctx context.Context, name string, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		existed = c.Global(name) != nil
		if !existed {
			return meta.Txn{}, nil
		}
		return meta.Txn{Ops: []meta.Op{drop(key(sectionGlobal, name))}}, nil
	})
	return existed, err
}

// parameterChecks are the components that a parameter may belong to, with what is wrong with a value.
var parameterChecks = map[string]func(name string, value map[string]any) string{
	"shovel":                  wrongShovel,
	"federation-upstream":     wrongUpstream,
	"federation-upstream-set": nil,
}

// PutParameter sets a runtime parameter of a component; value is as JSON gave it.
func (e *Editor) PutParameter(ctx context.Context, vhost, component, name string, value any, durable func(error)) (created bool, err error) {
	check, known := parameterChecks[component]
	if !known {
		return false, ValidationError("component " + component + " not found")
	}
	if check != nil {
		wish, ok := value.(map[string]any)
		if !ok {
			return false, ValidationError(name + " should be a map, actually was " + jsonTerm(value))
		}
		if fault := check(name, wish); fault != "" {
			return false, ValidationError(fault)
		}
	}
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		if v == nil {
			return meta.Txn{}, ErrNoVHost
		}
		created = v.Parameter(component, name) == nil
		return meta.Txn{
			Guards: []meta.Guard{{Key: key(sectionVHost, vhost), Revision: v.Revision}},
			Ops:    []meta.Op{put(key(sectionParameter, vhost, component, name), value, false)},
		}, nil
	})
	return created, err
}

// DeleteParameter removes a runtime parameter. existed tells whether there was one.
func (e *Editor) DeleteParameter(ctx context.Context, vhost, component, name string, durable func(error)) (existed bool, err error) {
	err = e.edit(ctx, durable, func(c *Catalog) (meta.Txn, error) {
		v := c.VHost(vhost)
		existed = v != nil && v.Parameter(component, name) != nil
		if !existed {
			return meta.Txn{}, nil
		}
		return meta.Txn{Ops: []meta.Op{drop(key(sectionParameter, vhost, component, name))}}, nil
	})
	return existed, err
}

// upstreamKeys are what a federation upstream may say.
var upstreamKeys = []string{
	"uri", "prefetch-count", "reconnect-delay", "max-hops", "expires", "message-ttl", "trust-user-id", "ack-mode",
	"resource-cleanup-mode", "exchange", "queue", "consumer-tag", "bind-nowait", "ha-policy", "channel-use-mode", "queue-type",
}

func wrongUpstream(name string, value map[string]any) string {
	if _, ok := value["uri"]; !ok {
		return fmt.Sprintf("Key \"uri\" not found in %s", name)
	}
	if uri := value["uri"]; !isURI(uri) {
		return "uri should be a URI or a list of them, actually was " + jsonTerm(uri)
	}
	return unknownTerms(name, value, func(key string) bool { return slices.Contains(upstreamKeys, key) })
}

// isURI tells whether a value is one or several addresses.
func isURI(value any) bool {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	return len(list) > 0 && !slices.ContainsFunc(list, func(one any) bool {
		text, isText := one.(string)
		return !isText || !strings.HasPrefix(text, "amqp://") && !strings.HasPrefix(text, "amqps://")
	})
}

func wrongShovel(name string, value map[string]any) string {
	for _, key := range []string{"src-uri", "dest-uri"} {
		if _, ok := value[key]; !ok {
			return fmt.Sprintf("Key \"%s\" not found in %s", key, name)
		}
	}
	return unknownTerms(name, value, func(key string) bool {
		return strings.HasPrefix(key, "src-") || strings.HasPrefix(key, "dest-") || slices.Contains(shovelKeys, key)
	})
}

// unknownTerms refuses the keys that are not known.
func unknownTerms(name string, value map[string]any, known func(key string) bool) string {
	var unknown []string
	for _, key := range sortedNames(value) {
		if !known(key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return ""
	}
	return "Unrecognised terms " + propertyList(value, unknown) + " in " + name
}

// shovelKeys are what a shovel may say beside what is about its ends.
var shovelKeys = []string{
	"add-forward-headers", "add-timestamp-header", "publish-properties", "ack-mode", "prefetch-count", "reconnect-delay", "delete-after", "predeclared",
}

// Term prints a JSON value as RabbitMQ's refusals show it.
func Term(value any) string { return jsonTerm(value) }
