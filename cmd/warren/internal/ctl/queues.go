package ctl

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const queuesGroup, operationsGroup = "Queues", "Operations"

var queueCommands = []*command{
	{name: "purge_queue", group: queuesGroup, args: "<queue> [--vhost <vhost>]", least: 1, most: 1, help: "Purges a queue (removes all messages in it)",
		banner: func(c *call) string { return fmt.Sprintf("Purging queue '%s' in vhost '%s' ...", c.args[0], c.host()) },
		run: func(c *call) (output, error) {
			err := c.client.remove(api("queues", c.host(), c.args[0], "contents"))
			if status(err) == http.StatusNotFound {
				err = failPlain(exitData, "Object (queue, stream, exchange, etc) was not found")
			}
			return output{}, asData(err)
		}},
	{name: "delete_queue", group: queuesGroup, args: "[--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u]", least: 1, most: 1, help: "Deletes a queue",
		banner: func(c *call) string { return fmt.Sprintf("Deleting queue '%s' on vhost '%s' ...", c.args[0], c.host()) }, run: deleteQueue},
	{name: "close_connection", group: operationsGroup, args: "<connection name> <explanation>", least: 2, most: 2, help: "Closes a connection, by its name",
		banner: func(c *call) string { return fmt.Sprintf("Closing connection %s, reason: %s...", c.args[0], c.args[1]) },
		run: func(c *call) (output, error) {
			err := c.client.remove(api("connections", c.args[0]), "X-Reason", c.args[1])
			if status(err) == http.StatusNotFound {
				err = fail(exitUnavailable, "there is no connection %q", c.args[0])
			}
			return output{}, err
		}},
	{name: "close_all_connections", group: operationsGroup, args: "[--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] <explanation>",
		least: 1, most: 1, help: "Closes all connections of a vhost, or with --global of the node",
		banner: func(c *call) string {
			if c.has("global") {
				return fmt.Sprintf("Closing all connections to node (global), reason: %s...", c.args[0])
			}
			return fmt.Sprintf("Closing all connections in vhost %s, reason: %s...", c.host(), c.args[0])
		}, run: func(c *call) (output, error) {
			n, err := c.closeConnections(c.args[0], func(o object) bool { return c.has("global") || o["vhost"] == c.host() })
			return say("Closed %d connections", n), err
		}},
	{name: "close_all_user_connections", group: operationsGroup, args: "<username> <explanation>", least: 2, most: 2, help: "Closes all connections of a user",
		banner: func(c *call) string {
			return fmt.Sprintf("Closing connections of user %s, reason: %s...", c.args[0], c.args[1])
		},
		run: func(c *call) (output, error) {
			n, err := c.closeConnections(c.args[1], func(o object) bool { return o["user"] == c.args[0] })
			return say("Closed %d connections", n), err
		}},
}

func deleteQueue(c *call) (output, error) {
	path := api("queues", c.host(), c.args[0])
	var query []string
	for option, key := range map[string]string{"if-empty": "if-empty=true", "if-unused": "if-unused=true"} {
		if c.has(option) {
			query = append(query, key)
		}
	}
	var q struct {
		Messages any `json:"messages"`
	}
	err := c.client.get(path, &q)
	if err == nil {
		err = c.client.remove(path + "?" + strings.Join(query, "&"))
	}
	if status(err) == http.StatusNotFound {
		return output{}, fail(exitUsage, "No such queue was found")
	}
	if err != nil || q.Messages == nil {
		return output{}, asData(err)
	}
	return say("Queue was successfully deleted with %v ready messages", q.Messages), nil
}

// closeConnections closes those that one wants closed, and gives their number.
func (c *call) closeConnections(reason string, wanted func(object) bool) (n int, err error) {
	rows, err := only(c, api("connections"), wanted)
	for _, row := range rows {
		closed := c.client.remove(api("connections", text(row["name"])), "X-Reason", reason)
		switch {
		case closed == nil:
			n++
		case status(closed) != http.StatusNotFound: // it may have ended by itself
			err = errors.Join(err, closed)
		}
	}
	return n, err
}
