package etcdmeta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// EmbeddedMaxOps is how many operations an embedded member takes in one transaction.
const EmbeddedMaxOps = 100_000

// EmbedOptions describe a member of etcd that lives in this process.
type EmbedOptions struct {
	Name      string // of the member, as in Members
	Dir       string // its data
	ClientURL string // where it listens for clients, such as "http://127.0.0.1:2379"
	PeerURL   string // where it listens for other members
	// Where others reach it, if that is not where it listens.
	ClientAddress, PeerAddress string
	// Members is how the cluster begins: "name=peer URL" of all first members, with commas. Empty: this one alone.
	Members string
	// Joining: the cluster exists already and expects this member.
	Joining bool
	// Alone gives up all other members, whatever they have: this one goes on with its own data. They must not come back with theirs.
	Alone bool
	TLS   *EmbedTLS // nil: in the clear
	// MaxOps is how many operations the member takes in one transaction. Default EmbeddedMaxOps.
	MaxOps uint
	Logger zerolog.Logger
}

// advertised is where others reach the member.
func (o *EmbedOptions) advertised() (client, peer string) {
	return cmp.Or(o.ClientAddress, o.ClientURL), cmp.Or(o.PeerAddress, o.PeerURL)
}

// fresh tells whether the member has no data yet.
func (o *EmbedOptions) fresh() bool {
	_, err := os.Stat(filepath.Join(o.Dir, "member"))
	return errors.Is(err, os.ErrNotExist)
}

// ErrNotLost is returned for a member that can reach most of the others.
var ErrNotLost = errors.New("most members of etcd can be reached from here: nothing is lost")

// lookTime is how long a member looks for the others before it gives them up.
const lookTime = 10 * time.Second

// GiveUpOthers makes a member that does not run the only one, with what it has, once it has looked for the others in vain.
func GiveUpOthers(ctx context.Context, o EmbedOptions) error {
	if o.fresh() {
		return fmt.Errorf("%s has no data of etcd", o.Dir)
	}
	looking, stop := context.WithTimeout(ctx, lookTime)
	defer stop()
	e, err := Embed(looking, o)
	if err == nil {
		defer e.Close()
		if e.decides() { // it is the only one
			return nil
		}
		return ErrNotLost
	}
	if looking.Err() == nil {
		return err
	}
	o.Alone = true
	if e, err = Embed(ctx, o); err != nil {
		return err
	}
	e.Close()
	return nil
}

// EmbedTLS names the files of a member's mutual TLS, for clients and peers alike.
type EmbedTLS struct{ CertFile, KeyFile, CAFile string }

// Dial connects to etcd. Endpoints are URLs.
func Dial(c clientv3.Config) (*clientv3.Client, error) {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	c.DialOptions = append(c.DialOptions, grpc.WithConnectParams(grpc.ConnectParams{ // leases end soon after etcd is back
		Backoff:           backoff.Config{BaseDelay: pauseLeast, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: pauseMost,
	}))
	client, err := clientv3.New(c)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return client, nil
}
