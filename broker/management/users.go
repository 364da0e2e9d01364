package management

import (
	"encoding/base64"
	"errors"

	"github.com/warrenmq/warren/broker/auth"
	"github.com/warrenmq/warren/broker/topology"
)

func userRoutes() []route {
	return []route{
		{"GET", "/users", administrator, (*request).listUsers, "All users"},
		{"GET", "/users/without-permissions", administrator, (*request).listIdleUsers, "Users that may do nothing in any vhost"},
		{"POST", "/users/bulk-delete", administrator, (*request).deleteUsers, "Delete several users"},
		{"GET", "/users/{user}", administrator, (*request).getUser, "A user"},
		{"PUT", "/users/{user}", administrator, (*request).putUser, "Make or change a user"},
		{"DELETE", "/users/{user}", administrator, (*request).deleteUser, "Delete a user"},
		{"GET", "/users/{user}/permissions", administrator, (*request).listUserPermissions, "What a user may do, by vhost"},
		{"GET", "/users/{user}/topic-permissions", administrator, (*request).listUserTopicPermissions, "A user's topic permissions"},
		{"GET", "/users/{user}/queues", anyUser, (*request).listQueuesOfUser, "The queues that a user has declared"},
		{"GET", "/user-limits", administrator, (*request).listUserLimits, "The limits of all users"},
		{"GET", "/user-limits/{user}", ownUser, (*request).getUserLimits, "The limits of a user"},
		{"PUT", "/user-limits/{user}/{limit}", administrator, (*request).putUserLimit, "Limit what a user may have"},
		{"DELETE", "/user-limits/{user}/{limit}", administrator, (*request).deleteUserLimit, "Take a limit away"},
	}
}

func userObject(u *topology.User) object {
	tags, limits := u.Tags, u.Limits
	if tags == nil {
		tags = []string{}
	}
	if limits == nil {
		limits = map[string]int64{}
	}
	return object{"name": u.Name, "password_hash": u.PasswordHash, "hashing_algorithm": u.Algorithm, "tags": tags, "limits": limits}
}

func (q *request) listUsers() (answer, error) {
	var all []object
	q.catalog.Users(func(u *topology.User) bool { all = append(all, userObject(u)); return true })
	return ok(listOf(all).pages())
}

func (q *request) listIdleUsers() (answer, error) {
	var idle []object
	q.catalog.Users(func(u *topology.User) bool {
		entitled := false
		q.catalog.VHosts(func(v *topology.VHost) bool {
			entitled = v.Permission(u.Name) != nil
			return !entitled
		})
		if !entitled {
			idle = append(idle, userObject(u))
		}
		return true
	})
	return ok(listOf(idle).pages())
}

func (q *request) getUser() (answer, error) {
	u := q.catalog.User(q.values["user"])
	if u == nil {
		return answer{}, errNotFound
	}
	return ok(userObject(u))
}

func (q *request) putUser() (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	change, err := readUser(body, q.server.Authority.Algorithm())
	if err != nil {
		return answer{}, err
	}
	created, err := q.server.Editor.PutUser(q.context(), q.values["user"], change, nil)
	if err == nil {
		err = q.server.setUserLimits(q, q.values["user"], body["limits"])
	}
	return put(created, err)
}

// setUserLimits sets the limits that come with a user.
func (s *Server) setUserLimits(q *request, user string, value any) error {
	limits, isObject := value.(object)
	if value != nil && !isObject {
		if l, isList := value.([]any); isList && len(l) == 0 {
			return nil
		}
		return badRequest("limits should be an object")
	}
	for name, limit := range limits {
		if err := s.Editor.SetUserLimit(q.context(), user, name, limit, nil); err != nil {
			return err
		}
	}
	return nil
}

// readUser reads what a user is to be like: tags, and a password, its hash, or neither for one who cannot log in with one.
// newHash is the algorithm for a password that comes without one.
func readUser(body object, newHash string) (change func(*topology.UserRecord) error, err error) {
	tagsGiven, given := body["tags"]
	if legacy, isFlag := body["administrator"].(bool); !given && isFlag {
		given = true
		if legacy {
			tagsGiven = tagAdministrator
		}
	}
	if !given {
		return nil, badRequest("tags_not_present")
	}
	tags, err := readTags(tagsGiven)
	if err != nil {
		return nil, err
	}
	hash, algorithm, err := readPassword(body, newHash)
	if err != nil {
		return nil, err
	}
	return func(r *topology.UserRecord) error {
		r.Tags, r.PasswordHash, r.Algorithm = tags, hash, algorithm
		return nil
	}, nil
}

func readPassword(body object, newHash string) (hash, algorithm string, err error) {
	fallback := newHash
	if _, hashed := body["password_hash"]; hashed {
		fallback = auth.SHA256
	}
	algorithm, err = text(body, "hashing_algorithm", fallback)
	if err != nil {
		return "", "", err
	}
	secret, hasPassword := body["password"]
	stored, hasHash := body["password_hash"]
	if hasPassword && hasHash {
		return "", "", badRequest("both_password_and_password_hash_are_provided")
	}
	if hasPassword {
		password, isText := secret.(string)
		if !isText {
			return "", "", badRequest("password should be a string")
		}
		if password == "" {
			return "", auth.SHA256, nil
		}
		if !auth.Known(algorithm) {
			algorithm = newHash
		}
		hash, err = auth.Hash(algorithm, password)
		return hash, algorithm, err
	}
	if !hasHash {
		return "", auth.SHA256, nil
	}
	hash, isText := stored.(string)
	if _, err := base64.StdEncoding.DecodeString(hash); !isText || err != nil {
		return "", "", badRequest([]any{"not_base64", stored})
	}
	return hash, algorithm, nil
}

func (q *request) deleteUser() (answer, error) {
	return removed(q.server.Editor.DeleteUser(q.context(), q.values["user"], nil))
}

func (q *request) deleteUsers() (answer, error) {
	body, err := q.body("users")
	if err != nil {
		return answer{}, err
	}
	names, isList := body["users"].([]any)
	if !isList {
		return answer{}, badRequest("users should be a list")
	}
	for _, name := range names {
		user, isText := name.(string)
		if !isText {
			return answer{}, badRequest("users should be a list of names")
		}
		if _, err := q.server.Editor.DeleteUser(q.context(), user, nil); err != nil {
			return answer{}, err
		}
	}
	return done()
}

func (q *request) listUserLimits() (answer, error) {
	all := []object{}
	q.catalog.Users(func(u *topology.User) bool {
		if len(u.Limits) > 0 {
			all = append(all, object{"user": u.Name, "value": u.Limits})
		}
		return true
	})
	return ok(listOf(all))
}

func (q *request) getUserLimits() (answer, error) {
	u := q.catalog.User(q.values["user"])
	if u == nil {
		return answer{}, errNotFound
	}
	if len(u.Limits) == 0 {
		return ok([]any{})
	}
	return ok(listOf([]object{{"user": u.Name, "value": u.Limits}}))
}

func (q *request) putUserLimit() (answer, error) {
	body, err := q.body("value")
	if err != nil {
		return answer{}, err
	}
	err = q.server.Editor.SetUserLimit(q.context(), q.values["user"], q.values["limit"], body["value"], nil)
	if errors.Is(err, topology.ErrNoUser) {
		return answer{}, badRequest([]any{"no_such_user", q.values["user"]})
	}
	if err != nil {
		return answer{}, err
	}
	return done()
}

func (q *request) deleteUserLimit() (answer, error) {
	err := q.server.Editor.ClearUserLimit(q.context(), q.values["user"], q.values["limit"], nil)
	if errors.Is(err, topology.ErrNoUser) {
		return answer{}, errNoVHost // RabbitMQ's words for it
	}
	if err != nil {
		return answer{}, err
	}
	return done()
}
