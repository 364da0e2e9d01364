package auth

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/store/meta"
)

// world is users and permissions to ask about.
type world struct {
	t      testing.TB
	editor *topology.Editor
	store  *meta.Memory
	Authority
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: meta.NewMemory(nil, 0)}
	var err error
	w.editor, err = topology.Open(context.Background(), w.store, topology.Options{Node: 1})
	w.must(err)
	w.Catalog = w.editor.Catalog
	_, err = w.editor.PutVHost(context.Background(), "/", nil, nil)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// user makes a user whose password is hashed with the algorithm.
func (w *world) user(name, password, algorithm string, tags ...string) {
	w.t.Helper()
	hash, err := Hash(algorithm, password)
	w.must(err)
	w.record(name, topology.UserRecord{PasswordHash: hash, Algorithm: algorithm, Tags: tags})
}

func (w *world) record(name string, r topology.UserRecord) {
	w.t.Helper()
	_, err := w.editor.PutUser(context.Background(), name, func(have *topology.UserRecord) error { *have = r; return nil }, nil)
	w.must(err)
}

func (w *world) permit(user, configure, write, read string) {
	w.t.Helper()
	_, err := w.editor.PutPermission(context.Background(), "/", user, configure, write, read, nil)
	w.must(err)
}

// put writes metadata that no method of Editor writes yet.
func (w *world) put(key, value string) {
	w.t.Helper()
	_, err := w.store.Commit(context.Background(), meta.Txn{Ops: []meta.Op{{Key: key, Value: []byte(value)}}}, nil)
	w.must(err)
}

var home = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

func (w *world) login(user, password string) (Principal, error) {
	return w.Login("PLAIN", []byte("\x00"+user+"\x00"+password), home)
}

func TestPlainResponses(t *testing.T) {
	w := newWorld(t)
	w.user("u", "secret", SHA256)
	w.user("", "secret", SHA256)
	w.user("ä", "ö€", SHA256)
	for response, want := range map[string]error{
		"\x00u\x00secret":         nil,
		"\x00ä\x00ö€":             nil,
		"\x00\x00secret":          nil,
		"\x00u\x00wrong":          ErrRefused,
		"\x00u\x00":               ErrRefused,
		"\x00u\x00secret ":        ErrRefused,
		"\x00U\x00secret":         ErrRefused,
		"\x00nobody\x00secret":    ErrRefused,
		"u\x00u\x00secret":        ErrResponse, // the authorization identity must be empty
		"\x00u":                   ErrResponse,
		"\x00":                    ErrResponse,
		"":                        ErrResponse,
		"u":                       ErrResponse,
		"\x00u\x00secret\x00":     ErrResponse,
		"\x00u\x00secret\x00more": ErrResponse,
		"\x00\x00\x00\x00":        ErrResponse,
	} {
		p, err := w.Login("PLAIN", []byte(response), home)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%q: got %v, want %v", response, err, want)
		}
		if err == nil && w.Catalog().User(p.Name()) == nil {
			t.Errorf("%q: logged in as %q", response, p.Name())
		}
	}
}

func TestAMQPlainResponses(t *testing.T) {
	w := newWorld(t)
	w.user("u", "secret", SHA256)
	table := func(pairs ...any) []byte {
		t := protocol.Table{}
		for i := 0; i < len(pairs); i += 2 {
			t = append(t, protocol.Field{Key: pairs[i].(string), Value: pairs[i+1]})
		}
		return t.Raw()
	}
	for _, c := range []struct {
		response []byte
		want     error
	}{
		{table("LOGIN", "u", "PASSWORD", "secret"), nil},
		{table("PASSWORD", "secret", "x", int32(1), "LOGIN", "u"), nil},
		{table("LOGIN", []byte("u"), "PASSWORD", []byte("secret")), nil},
		{table("LOGIN", "u", "PASSWORD", "secret", "PASSWORD", "wrong"), nil},
		{table("LOGIN", "u", "PASSWORD", "wrong", "PASSWORD", "secret"), ErrRefused},
		{table("LOGIN", "nobody", "PASSWORD", "secret"), ErrRefused},
		{table("LOGIN", "u", "PASSWORD", int32(1)), ErrRefused},
		{table("LOGIN", int32(1), "PASSWORD", "secret"), ErrRefused},
		{table("LOGIN", "u", "PASSWORD", nil), ErrRefused},
		{table("LOGIN", "u"), ErrResponse},
		{table("PASSWORD", "secret"), ErrResponse},
		{table("login", "u", "password", "secret"), ErrResponse},
		{table(), ErrResponse},
		{table("LOGIN", "u", "PASSWORD", "secret")[:20], ErrResponse},
		{[]byte("\x05LOGINS\xff\xff\xff\xffu"), ErrResponse},
		{[]byte{255}, ErrResponse},
		{append([]byte{0, 0, 0, 30}, table("LOGIN", "u", "PASSWORD", "secret")...), ErrResponse}, // with its length
	} {
		_, err := w.Login("AMQPLAIN", c.response, home)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%q: got %v, want %v", c.response, err, c.want)
		}
	}
}

func FuzzLogin(f *testing.F) {
	w := newWorld(f)
	w.user("u", "secret", SHA256)
	for _, mechanism := range []string{"PLAIN", "AMQPLAIN"} {
		f.Add(mechanism, []byte("\x00u\x00secret"))
		f.Add(mechanism, []byte(protocol.Table{{Key: "LOGIN", Value: "u"}, {Key: "PASSWORD", Value: "secret"}}.Raw()))
		f.Add(mechanism, []byte("\x05LOGINF\x00\x00\x00\x04\x01aA\x00"))
	}
	f.Fuzz(func(t *testing.T, mechanism string, response []byte) {
		if p, err := w.Login(mechanism, response, home); err == nil && p.Name() != "u" {
			t.Errorf("%s %q logs %q in", mechanism, response, p.Name())
		}
	})
}

func TestMechanisms(t *testing.T) {
	w := newWorld(t)
	w.user("guest", "guest", SHA256)
	if got := w.Mechanisms(); got != "PLAIN AMQPLAIN" {
		t.Error(got)
	}
	for _, mechanism := range []string{"ANONYMOUS", "EXTERNAL", "", "plain", "PLAIN "} {
		if _, err := w.Login(mechanism, nil, home); !errors.Is(err, ErrMechanism) || err.Error() != "unknown authentication mechanism '"+mechanism+"'" {
			t.Errorf("%q: %v", mechanism, err)
		}
	}
	w.Anonymous = "guest"
	if got := w.Mechanisms(); got != "PLAIN AMQPLAIN ANONYMOUS" {
		t.Error(got)
	}
	if p, err := w.Login("ANONYMOUS", []byte("anything"), home); err != nil || p.Name() != "guest" {
		t.Error(p, err)
	}
	w.SetLoopbackOnly([]string{"guest"})
	if _, err := w.Login("ANONYMOUS", nil, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}); !errors.Is(err, ErrLoopback) {
		t.Error(err)
	}
	w.Anonymous = "nobody"
	if _, err := w.Login("ANONYMOUS", nil, home); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestLoopbackUsersComeFromThisMachine(t *testing.T) {
	w := newWorld(t)
	w.user("guest", "guest", SHA256)
	w.user("other", "guest", SHA256)
	w.SetLoopbackOnly([]string{"guest"})
	for _, c := range []struct {
		peer net.Addr
		may  bool
	}{
		{&net.TCPAddr{IP: net.ParseIP("127.0.0.1")}, true},
		{&net.TCPAddr{IP: net.ParseIP("127.8.9.10")}, true},
		{&net.TCPAddr{IP: net.ParseIP("::1")}, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")}, true},
		{&net.TCPAddr{IP: net.ParseIP("10.0.0.1")}, false},
		{&net.TCPAddr{IP: net.ParseIP("0.0.0.0")}, false},
		{&net.TCPAddr{IP: net.ParseIP("::")}, false},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.1")}, false},
		{&net.TCPAddr{}, false},
		{&net.UnixAddr{Name: "127.0.0.1"}, false},
		{nil, false},
	} {
		_, err := w.Password("guest", "guest", c.peer)
		if c.may != (err == nil) || !c.may && !errors.Is(err, ErrLoopback) {
			t.Errorf("guest from %v: %v", c.peer, err)
		}
		if _, err := w.Password("other", "guest", c.peer); err != nil {
			t.Errorf("other from %v: %v", c.peer, err)
		}
		// whether the password was right is not told by which error it is
		if _, err := w.Password("guest", "wrong", c.peer); !errors.Is(err, ErrRefused) {
			t.Errorf("guest with a wrong password from %v: %v", c.peer, err)
		}
	}
}

func TestADeletedUserIsNobody(t *testing.T) {
	w := newWorld(t)
	w.user("u", "secret", Argon2)
	if _, err := w.login("u", "secret"); err != nil {
		t.Fatal(err)
	}
	_, err := w.editor.DeleteUser(context.Background(), "u", nil)
	w.must(err)
	if p, err := w.login("u", "secret"); !errors.Is(err, ErrRefused) || p.Name() != "u" {
		t.Error(p, err)
	}
}
