package ctl

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

var recoverCommands = []*command{
	{name: "recover_group", group: clusterGroup, args: "< <group> | all > [--force]", least: 1, most: 1, tools: queues,
		help: "Lets a group that has lost most of its members for good go on with what one of those has that are left",
		banner: func(c *call) string {
			return fmt.Sprintf("Recovering %s. Confirmed messages that only lost members had are lost ...", c.ofGroups())
		}, run: recoverGroups},
	{name: "give_up_group", group: clusterGroup, args: "<group> [--force]", least: 1, most: 1, tools: queues,
		help: "Lets a group of which nothing is left begin anew, with nothing: its queues are empty",
		banner: func(c *call) string {
			return fmt.Sprintf("Giving up %s. All messages in its queues are lost ...", c.ofGroups())
		}, run: func(c *call) (output, error) {
			var said recovered
			err := c.renew(c.args[0], "give-up", &said)
			return say("group %d begins anew with nothing, without %s", said.Group, or(strings.Join(said.Lost, ", "), "anybody")), err
		}},
}

// ofGroups names the groups of a command.
func (c *call) ofGroups() string {
	if c.args[0] == "all" {
		return "all groups that have no leader"
	}
	return "group " + c.args[0]
}

// recovered is what became of a group.
type recovered struct {
	Group   uint64   `json:"group"`
	Kept    string   `json:"kept"`
	Last    uint64   `json:"last"`
	Lost    []string `json:"lost"`
	Already bool     `json:"already"`
}

// line says it.
func (r *recovered) line() string {
	if r.Already {
		return fmt.Sprintf("group %d goes on with what %s has already", r.Group, r.Kept)
	}
	return fmt.Sprintf("group %d goes on with what %s has, up to entry %d, without %s", r.Group, r.Kept, r.Last, strings.Join(r.Lost, ", "))
}

// renew asks for one group to begin anew.
func (c *call) renew(group, how string, said *recovered) error {
	path := api("warren", "groups", group, how)
	if c.has("force") {
		path += "?force=true"
	}
	return asData(c.client.do(http.MethodPost, path, nil, said))
}

// recoverGroups recovers one group, or all that have no leader; of these it says which cannot be.
func recoverGroups(c *call) (output, error) {
	list := []string{c.args[0]}
	if c.args[0] == "all" {
		groups, err := c.groups()
		if err != nil {
			return output{}, err
		}
		list = nil
		for _, g := range groups {
			if g.Leader == "" {
				list = append(list, fmt.Sprint(g.Group))
			}
		}
	}
	lines, values, refused := []string{}, []recovered{}, []string{}
	for _, group := range list {
		var r recovered
		if err := c.renew(group, "recover", &r); err != nil {
			refused = append(refused, err.Error())
			continue
		}
		lines, values = append(lines, r.line()), append(values, r)
	}
	out := output{text: strings.Join(lines, "\n"), value: values}
	if len(refused) == 0 {
		return out, nil
	}
	failed := fail(exitData, "%s", strings.Join(refused, "\n"))
	if len(lines) == 0 {
		return output{}, failed
	}
	return output{}, errors.Join(out.write(c), failed)
}
