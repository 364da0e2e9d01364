//go:build !noetcd

package etcdmeta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/rs/zerolog"
)

// Embedded is a member of etcd in this process.
type Embedded struct {
	server *embed.Etcd
}

// Embed starts a member, and waits until it serves, which needs a majority of the members.
func Embed(ctx context.Context, o EmbedOptions) (*Embedded, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded etcd: %w", err)
	}
	e := &Embedded{server: server}
	hurried, stop := context.WithCancel(ctx)
	defer stop()
	go e.hurry(hurried)
	select {
	case <-server.Server.ReadyNotify():
		return e, nil
	case err := <-server.Err():
		e.Close()
		return nil, fmt.Errorf("the embedded etcd ended: %w", err)
	case <-ctx.Done():
		server.Server.HardStop() // Close would wait for what was waited for in vain
		e.Close()
		return nil, fmt.Errorf("the embedded etcd finds no majority of its members: %w", ctx.Err())
	}
}

// hurryEvery is how soon a member that is alone is asked again to lead.
const hurryEvery = 5 * time.Millisecond

// hurry has a member lead at once that nobody else can outvote: by itself it waits for up to a second, in which its clients
// could do nothing. It is asked again until it does, since it refuses while it still applies who its members are.
func (e *Embedded) hurry(ctx context.Context) {
	s := e.server.Server
	ticker := time.NewTicker(hurryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ReadyNotify():
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if e.decides() {
			self := uint64(s.MemberID())
			_ = s.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &self, To: &self}) // the next may be taken
		}
	}
}

// decides tells whether nobody but this member has a vote.
func (e *Embedded) decides() bool {
	voters := slices.DeleteFunc(e.server.Server.Cluster().Members(), func(m *membership.Member) bool { return m.IsLearner })
	return len(voters) == 1 && voters[0].ID == e.server.Server.MemberID()
}

func (o *EmbedOptions) config() (*embed.Config, error) {
	c := embed.NewConfig()
	c.Name, c.Dir = o.Name, o.Dir
	c.MaxTxnOps, c.MaxRequestBytes = cmp.Or(o.MaxOps, EmbeddedMaxOps), 64<<20
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, "100000"
	c.QuotaBackendBytes = 8 << 30
	client, err := urls(o.ClientURL)
	if err != nil {
		return nil, err
	}
	peer, err := urls(o.PeerURL)
	if err != nil {
		return nil, err
	}
	c.ListenClientUrls, c.ListenPeerUrls = client, peer
	clientAt, peerAt := o.advertised()
	if c.AdvertiseClientUrls, err = urls(clientAt); err != nil {
		return nil, err
	}
	if c.AdvertisePeerUrls, err = urls(peerAt); err != nil {
		return nil, err
	}
	c.InitialCluster = o.Members
	if c.InitialCluster == "" {
		c.InitialCluster = c.InitialClusterFromName(o.Name)
	}
	c.ForceNewCluster = o.Alone
	c.ClusterState = embed.ClusterStateFlagNew
	if o.Joining {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	if t := o.TLS; t != nil {
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile, c.ClientTLSInfo.TrustedCAFile = t.CertFile, t.KeyFile, t.CAFile
		c.ClientTLSInfo.ClientCertAuth = true
		c.PeerTLSInfo = c.ClientTLSInfo
		// A member is one by its certificate, wherever its connections come from: addresses are translated on the way.
		c.PeerTLSInfo.SkipClientSANVerify = true
	}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(zapCore{o.Logger}))
	return c, c.Validate()
}

func urls(list string) ([]url.URL, error) {
	var all []url.URL
	for _, one := range strings.Split(list, ",") {
		u, err := url.Parse(one)
		if err != nil {
			return nil, fmt.Errorf("address of the embedded etcd: %w", err)
		}
		if u.Host == "" {
			return nil, errors.New("an address of the embedded etcd has no host: " + one)
		}
		all = append(all, *u)
	}
	return all, nil
}

// Learner tells whether the member has no vote yet, and its number.
func (e *Embedded) Learner() (bool, uint64) {
	return e.server.Server.IsLearner(), uint64(e.server.Server.MemberID())
}

// Close stops the member.
func (e *Embedded) Close() { e.server.Close() }

// zapCore gives etcd's warnings to the log; the rest is chat.
type zapCore struct{ logger zerolog.Logger }

// The methods of zapcore.Core.
func (zapCore) Enabled(l zapcore.Level) bool        { return l >= zapcore.WarnLevel }
func (c zapCore) With([]zapcore.Field) zapcore.Core { return c }
func (zapCore) Sync() error                         { return nil }
func (c zapCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// chat is what every start warns of, and nobody has to do anything about. What a member that leads at once cannot say yet of
// its storage, it looks for again every few seconds.
var chat = []string{
	"Running http and grpc server on single port", "exceeded recommended request limit", "simple token is not cryptographically signed",
	"Failed to detect schema version", "failed to update storage version",
}

func (c zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if slices.ContainsFunc(chat, func(known string) bool { return strings.HasPrefix(e.Message, known) }) {
		return nil
	}
	event := c.logger.Warn()
	if e.Level > zapcore.WarnLevel {
		event = c.logger.Error()
	}
	all := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(all)
	}
	event.Fields(all.Fields).Str("from", "etcd").Msg(e.Message)
	return nil
}
