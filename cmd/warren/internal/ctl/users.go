package ctl

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const usersGroup, accessGroup = "Users", "Access Control"

var userCommands = []*command{
	{name: "add_user", group: usersGroup, args: "<username> [<password>] [<password_hash> --pre-hashed-password]", least: 1, most: 2,
		help: "Creates a new user. This user will have no permissions for any virtual hosts by default.", run: addUser,
		banner: func(c *call) string { return fmt.Sprintf("Adding user %q ...", c.args[0]) }},
	{name: "delete_user", group: usersGroup, args: "<username>", least: 1, most: 1, help: "Removes a user",
		banner: func(c *call) string { return fmt.Sprintf("Deleting user %q ...", c.args[0]) },
		run: func(c *call) (output, error) {
			err := c.client.remove(api("users", c.args[0]))
			if status(err) == http.StatusNotFound {
				err = nil // as RabbitMQ's tool: whoever is not there is deleted
			}
			return output{}, err
		}},
	{name: "change_password", group: usersGroup, args: "<username> [<password>]", least: 1, most: 2, help: "Changes the user password",
		banner: func(c *call) string { return fmt.Sprintf("Changing password for user %q ...", c.args[0]) },
		run: func(c *call) (output, error) {
			password, err := c.password()
			if err != nil {
				return output{}, err
			}
			return output{}, c.changeUser(func(u object) { delete(u, "password_hash"); delete(u, "hashing_algorithm"); u["password"] = password })
		}},
	{name: "clear_password", group: usersGroup, args: "<username>", least: 1, most: 1, help: "Clears (resets) password and disables password login for a user",
		banner: func(c *call) string { return fmt.Sprintf("Clearing password for user %q ...", c.args[0]) },
		run: func(c *call) (output, error) {
			return output{}, c.changeUser(func(u object) { u["password_hash"] = "" })
		}},
	{name: "set_user_tags", group: usersGroup, args: "<username> <tag> [...]", least: 1, most: -1, help: "Sets user tags",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting tags for user %q to [%s] ...", c.args[0], strings.Join(c.args[1:], ", "))
		},
		run: func(c *call) (output, error) {
			return output{}, c.changeUser(func(u object) { u["tags"] = strings.Join(c.args[1:], ",") })
		}},
	{name: "authenticate_user", group: usersGroup, args: "<username> [<password>]", least: 1, most: 2,
		help: "Attempts to authenticate a user. Exits with a non-zero code if authentication fails.", run: authenticate,
		banner: func(c *call) string { return fmt.Sprintf("Authenticating user %q ...", c.args[0]) }},
	{name: "set_user_limits", group: usersGroup, args: "<username> <definition>", least: 2, most: 2, help: "Sets user limits",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting user limits to \"%s\" for user %q ...", c.args[1], c.args[0])
		},
		run: func(c *call) (output, error) { return output{}, c.setLimits("user-limits", c.args[0], c.args[1]) }},
	{name: "clear_user_limits", group: usersGroup, args: "<username> <limit_type> | all", least: 2, most: 2, help: "Clears user connection/channel limits",
		banner: func(c *call) string { return fmt.Sprintf("Clearing %q limit for user %q ...", c.args[1], c.args[0]) },
		run: func(c *call) (output, error) {
			return output{}, c.clearLimits("user-limits", c.args[0], c.args[1], "max-connections", "max-channels")
		}},
	{name: "list_user_limits", group: usersGroup, args: "[--user <username> | --global]", help: "Displays configured user limits",
		banner: constant("Listing limits ..."), run: func(c *call) (output, error) { return c.listLimits("user-limits", "user", c.more["user"]) }},
	{name: "set_permissions", group: accessGroup, args: "[--vhost <vhost>] <username> <conf> <write> <read>", least: 4, most: 4,
		help: "Sets user permissions for a vhost",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting permissions for user %q in vhost %q ...", c.args[0], c.host())
		},
		run: func(c *call) (output, error) {
			return output{}, c.permit(api("permissions", c.host(), c.args[0]), object{"configure": c.args[1], "write": c.args[2], "read": c.args[3]})
		}},
	{name: "set_permissions_globally", group: accessGroup, args: "<username> <conf> <write> <read>", least: 4, most: 4,
		help: "Sets user permissions for all virtual hosts.",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting permissions for user %q in all virtual hosts ...", c.args[0])
		},
		run: func(c *call) (output, error) {
			var vhosts []object
			if err := c.client.get(api("vhosts"), &vhosts); err != nil {
				return output{}, err
			}
			for _, v := range vhosts {
				if err := c.permit(api("permissions", text(v["name"]), c.args[0]), object{"configure": c.args[1], "write": c.args[2], "read": c.args[3]}); err != nil {
					return output{}, err
				}
			}
			return output{}, nil
		}},
	{name: "clear_permissions", group: accessGroup, args: "[--vhost <vhost>] <username>", least: 1, most: 1, help: "Revokes user permissions for a vhost",
		banner: func(c *call) string {
			return fmt.Sprintf("Clearing permissions for user %q in vhost %q ...", c.args[0], c.host())
		},
		run: func(c *call) (output, error) {
			return output{}, ignoreMissing(c.client.remove(api("permissions", c.host(), c.args[0])))
		}},
	{name: "set_topic_permissions", group: accessGroup, args: "[--vhost <vhost>] <username> <exchange> <write> <read>", least: 4, most: 4,
		help: "Sets user topic permissions for an exchange",
		banner: func(c *call) string {
			return fmt.Sprintf("Setting topic permissions on %q for user %q in vhost %q ...", c.args[1], c.args[0], c.host())
		},
		run: func(c *call) (output, error) {
			return output{}, c.permit(api("topic-permissions", c.host(), c.args[0]), object{"exchange": c.args[1], "write": c.args[2], "read": c.args[3]})
		}},
	{name: "clear_topic_permissions", group: accessGroup, args: "[--vhost <vhost>] <username> [<exchange>]", least: 1, most: 2,
		help: "Clears user topic permissions for a vhost or exchange",
		banner: func(c *call) string {
			return fmt.Sprintf("Clearing topic permissions for user %q in vhost %q ...", c.args[0], c.host())
		},
		run: func(c *call) (output, error) {
			words := append([]string{"topic-permissions", c.host()}, c.args...)
			return output{}, ignoreMissing(c.client.remove(api(words...)))
		}},
	{name: "hash_password", group: "Other", args: "[<cleartext_password>]", most: 1, help: "Hashes a plaintext password", offline: true,
		run: hashPassword},
}

func ignoreMissing(err error) error {
	if status(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// password is the argument behind the first, or a line of standard input.
func (c *call) password() (string, error) {
	if len(c.args) > 1 {
		return c.args[1], nil
	}
	fmt.Fprint(c.Stderr, "Password: ")
	line, err := bufio.NewReader(c.Stdin).ReadString('\n')
	fmt.Fprintln(c.Stderr)
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.Join(fail(exitData, "the password is empty"), err)
	}
	return line, nil
}

func addUser(c *call) (output, error) {
	password, err := c.password()
	if err != nil {
		return output{}, err
	}
	if err := c.client.get(api("users", c.args[0]), nil); status(err) != http.StatusNotFound {
		if err == nil {
			err = fail(exitSoftware, "User %q already exists", c.args[0])
		}
		return output{}, err
	}
	user := object{"tags": "", "password": password}
	if c.has("pre-hashed-password") {
		user = object{"tags": "", "password_hash": password}
	}
	if err := c.client.put(api("users", c.args[0]), user); err != nil {
		return output{}, err
	}
	if c.machine() || c.quiet {
		return output{}, nil
	}
	return say("Done. Don't forget to grant the user permissions to some virtual hosts! See '%s help set_permissions' to learn more.", c.Tool), nil
}

// changeUser reads the user that the first argument names, and writes it back with a change.
func (c *call) changeUser(change func(u object)) error {
	path := api("users", c.args[0])
	var u object
	err := c.client.get(path, &u)
	if status(err) == http.StatusNotFound {
		return fail(exitNoUser, "User %q does not exist", c.args[0])
	}
	if err != nil {
		return err
	}
	delete(u, "name")
	delete(u, "limits")
	change(u)
	return c.client.put(path, u)
}

// authenticate asks as somebody else. A user without a tag for the API is refused there too, but otherwise.
func authenticate(c *call) (output, error) {
	password, err := c.password()
	if err != nil {
		return output{}, err
	}
	as := *c.client
	as.user = url.UserPassword(c.args[0], password)
	err = as.get(api("whoami"), nil)
	if err != nil && !strings.Contains(err.Error(), "Not management user") && !strings.Contains(err.Error(), "via localhost") {
		var f *failure
		if errors.As(err, &f) && f.code == exitData {
			return output{}, fail(exitData, "Error: failed to authenticate user \"%s\"\nuser '%s' - invalid credentials", c.args[0], c.args[0])
		}
		return output{}, err
	}
	return output{text: "Success", value: object{"result": "ok"}}, nil
}

// permit sets permissions.
func (c *call) permit(path string, wish object) error {
	err := c.client.put(path, wish)
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	switch {
	case c.client.get(api("users", c.args[0]), nil) != nil:
		return fail(exitNoUser, "User %s does not exist", c.args[0])
	case c.client.get(api("vhosts", c.host()), nil) != nil:
		return fail(exitUnavailable, "Virtual host %s does not exist", c.host())
	}
	return fail(exitData, "%s", r.reason)
}

// setLimits sets each limit of a JSON object.
func (c *call) setLimits(kind, name, definition string) error {
	limits, err := parseObject(definition)
	if err != nil {
		return err
	}
	for _, key := range sorted(limits) {
		if err := c.client.put(api(kind, name, key), object{"value": limits[key]}); err != nil {
			return asData(err)
		}
	}
	return nil
}

// listLimits shows the limits of one, or of all that have some.
func (c *call) listLimits(kind, of, name string) (output, error) {
	var rows []object
	if err := c.client.get(api(kind), &rows); err != nil {
		return output{}, err
	}
	all := output{columns: []string{of, "limits"}}
	for _, row := range rows {
		text, err := marshal(row["value"])
		if err != nil {
			return output{}, err
		}
		if name == "" {
			all.rows = append(all.rows, []any{row[of], json.RawMessage(text)})
		} else if row[of] == name {
			return output{text: text, value: row["value"]}, nil
		}
	}
	if name != "" {
		return output{text: "{}", value: object{}}, nil
	}
	return all, nil
}

// clearLimits removes one limit, or all that there can be.
func (c *call) clearLimits(kind, name, which string, all ...string) error {
	if which != "all" {
		all = []string{which}
	}
	for _, key := range all {
		if err := ignoreMissing(c.client.remove(api(kind, name, key))); err != nil {
			return asData(err)
		}
	}
	return nil
}

// asData gives a refusal the exit code for what is wrong with what was asked.
func asData(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return fail(exitData, "%s", r.Error())
	}
	return err
}

// parseObject reads a JSON object of the command line.
func parseObject(text string) (object, error) {
	var o object
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&o); err != nil || o == nil {
		return nil, fail(exitUnavailable, "Could not parse JSON document: {error,{failed_to_decode_json,<<%q>>}}", text)
	}
	return o, nil
}

// hashPassword makes a record that definitions and --pre-hashed-password take, of RabbitMQ and of Warren.
func hashPassword(c *call) (output, error) {
	password := ""
	if len(c.args) > 0 {
		password = c.args[0]
	} else {
		fmt.Fprint(c.Stderr, "Please enter a password to hash.\n")
		line, err := bufio.NewReader(c.Stdin).ReadString('\n')
		if password = strings.TrimRight(line, "\r\n"); password == "" {
			return output{}, errors.Join(fail(exitData, "the password is empty"), err)
		}
	}
	salt := make([]byte, 4)
	rand.Read(salt)
	sum := sha256.Sum256(append(salt, password...))
	return say("%s", base64.StdEncoding.EncodeToString(append(salt[:4:4], sum[:]...))), nil
}
