package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/broker/metrics"
	"github.com/warrenmq/warren/broker/settings"
	"github.com/warrenmq/warren/cluster/raftlog"
	"github.com/warrenmq/warren/cmd/warren/internal/clustered"
	"github.com/warrenmq/warren/cmd/warren/internal/ctl"
	"github.com/warrenmq/warren/store"
	"github.com/warrenmq/warren/store/metadb"
)

// server is a broker that runs as this process.
type server struct {
	stop     context.CancelFunc
	hangups  chan os.Signal
	journal  *journal
	logger   zerolog.Logger
	broker   *broker.Broker
	store    *store.Store    // nil if nothing is kept on disk
	cluster  *clustered.Node // nil if the node is alone
	closeAll []func() error  // in the order in which they were opened
	pacer    *pacer
	damage   damage

	mu     sync.Mutex // guards what follows
	from   settings.Sources
	values *settings.Values
}

// settings gives the settings in force.
func (s *server) settings() *settings.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values
}

// shown is every setting in force, without secrets.
func (s *server) shown() map[string]string {
	shown := map[string]string{}
	for _, v := range s.settings().All() {
		shown[v.Key] = v.Shown()
	}
	return shown
}

// hangUp does what SIGHUP does.
func (s *server) hangUp() {
	select {
	case s.hangups <- syscall.SIGHUP:
	default: // it is about to happen
	}
}

// serve runs a broker until it is told to stop.
func serve(args []string, from settings.Sources) (err error) {
	var rest []string
	if from.Flags, rest, err = settings.ReadFlags(args); err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q; see warren --help", rest[0])
	}
	s := &server{from: from}
	s.damage.init()
	if s.values, err = settings.Load(from); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s.stop, s.hangups = stop, make(chan os.Signal, 1)
	signal.Notify(s.hangups, syscall.SIGHUP)
	if err := s.start(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	s.logger.Info().Msgf("Server startup complete; ready %d ms after the process began", time.Since(began).Milliseconds())
	s.tellSupervisor(daemon.SdNotifyReady)
	for ctx.Err() == nil {
		select {
		case <-s.hangups:
			s.reload()
		case why := <-s.damage.hopeless:
			stop()
			return s.again(why)
		case <-ctx.Done():
		}
	}
	stop() // a second signal ends the process at once
	s.logger.Info().Msg("stopping")
	s.tellSupervisor(daemon.SdNotifyStopping)
	return s.close()
}

// tellSupervisor tells systemd, if it has started the broker, what state that is in.
func (s *server) tellSupervisor(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.logger.Warn().Err(err).Msg("systemd cannot be told: " + state)
	}
}

// start opens everything, the listeners last.
func (s *server) start(ctx context.Context) (err error) {
	if s.journal, err = openJournal(s.values); err != nil {
		return err
	}
	s.closeAll = append(s.closeAll, s.journal.Close)
	s.logger = s.journal.Area("default")
	for _, file := range s.values.Files {
		s.logger.Info().Msg("config file(s) : " + file) // as RabbitMQ says it: tests of others look for that
	}
	for _, warning := range s.values.Warnings {
		s.logger.Warn().Msg(warning)
	}
	for _, name := range ctl.MissingPlugins(pluginsFile()) {
		s.logger.Warn().Str("plugin", name).Str("file", pluginsFile()).Msg("there is no such plugin, and nothing in its place")
	}
	memory, err := budget(s.values)
	if err != nil {
		return err
	}
	limitHeap(memory)
	s.pacer = openPacer(memory)
	s.closeAll = append(s.closeAll, s.pacer.Close)
	config, err := configure(s.values, func(err error) { s.logger.Error().Err(err).Msg("the old certificates stay") })
	if err != nil {
		return err
	}
	config.OwnVersion = strings.TrimPrefix(version(), "warren ")
	config.Logger, config.Area, config.Audit = &s.logger, s.journal.Area, s.journal.audit
	config.Delivered = func() {
		s.logger.Info().Msgf("First delivery of a stored message; %d ms after the process began", time.Since(began).Milliseconds())
	}
	config.Fatal, config.ConfigFiles, config.LogFiles, config.Settings = s.fatal, s.values.Files, s.journal.names, s.shown
	if file := definitions(s.values); file != "" {
		if config.Definitions, err = os.ReadFile(file); err != nil { //nolint:gosec // the operator names it
			return fmt.Errorf("load_definitions: %w", err)
		}
	}
	if !s.values.Boolean("ephemeral") {
		if err := s.openStore(ctx, s.values.Text("data_dir"), memory, &config); err != nil {
			return err
		}
	}
	tracer, closeTracer, err := openTracer(ctx, s.values, config.NodeName, s.logger)
	if err != nil {
		return err
	}
	if tracer != nil {
		config.Tracer = tracer
		s.closeAll = append(s.closeAll, closeTracer)
	}
	if s.broker, err = broker.Start(ctx, config); err != nil {
		return err
	}
	s.closeAll = append(s.closeAll, s.broker.Close)
	if s.cluster != nil {
		s.cluster.Serve(s.broker)
		s.closeAll = append(s.closeAll, s.cluster.Rest)
	}
	if err := s.openOperator(controlSocket(s.values)); err != nil {
		return err
	}
	return s.announce()
}

// announce writes the files that others wait for.
func (s *server) announce() error {
	if file := s.values.Text("pid_file"); file != "" {
		if err := writeWhole(file, fmt.Sprintln(os.Getpid())); err != nil {
			return err
		}
		s.closeAll = append(s.closeAll, func() error { return os.Remove(file) })
	}
	file := s.values.Text("ready_file")
	if file == "" {
		return nil
	}
	text := ""
	for _, l := range s.listeners() {
		text += fmt.Sprintf("%s=%s\n", l.name, l.addr)
	}
	if err := writeWhole(file, text); err != nil {
		return err
	}
	s.closeAll = append(s.closeAll, func() error { return os.Remove(file) })
	return nil
}

// listener is an address of the process by the name that a ready file has for it.
type listener struct{ name, addr string }

func (s *server) listeners() (list []listener) {
	seen := map[string]int{}
	add := func(name, addr string) {
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s_%d", name, seen[name])
		}
		list = append(list, listener{name, addr})
	}
	for _, l := range s.broker.Listeners() {
		add(readyNames[l.Protocol], l.Addr.String())
	}
	return list
}

// readyNames are the names of listeners in a ready file, by their protocols.
var readyNames = map[string]string{
	"amqp": "AMQP", "amqp/ssl": "AMQPS", "http": "HTTP", "https": "HTTPS",
	"http/prometheus": "METRICS", "https/prometheus": "METRICSS",
}

// writeWhole makes a file appear with all it holds.
func writeWhole(file, text string) error {
	unfinished := fmt.Sprintf("%s.%d", file, os.Getpid())
	if err := os.WriteFile(unfinished, []byte(text), 0o644); err != nil { //nolint:gosec // it holds no secret
		return err
	}
	return os.Rename(unfinished, file)
}

// reload takes what the files and the environment say now, as far as a running broker can.
func (s *server) reload() {
	s.mu.Lock()
	from := s.from
	s.mu.Unlock()
	values, err := settings.Load(from)
	if err == nil {
		err = s.take(values)
	}
	if err != nil {
		s.logger.Error().Err(err).Msg("the settings stay as they are")
	}
}

func (s *server) take(values *settings.Values) error {
	config, err := configure(values, nil)
	if err != nil {
		return err
	}
	memory, err := budget(values)
	if err != nil {
		return err
	}
	limitHeap(memory)
	s.pacer.limit(memory)
	changed, waiting := s.settings().Difference(values)
	if err := s.journal.reload(values); err != nil {
		return err
	}
	if err := s.broker.Reload(config); err != nil {
		return err
	}
	for _, v := range changed {
		s.logger.Info().Str("setting", v.Key).Str("value", v.Shown()).Msg("taken")
	}
	for _, v := range waiting {
		s.logger.Warn().Str("setting", v.Key).Str("value", v.Shown()).Msg("holds from the next start on")
	}
	for _, warning := range values.Warnings {
		s.logger.Warn().Msg(warning)
	}
	s.mu.Lock()
	s.values = values
	s.mu.Unlock()
	s.logger.Info().Msg("settings read again")
	return nil
}

// close ends what is open, the last first.
func (s *server) close() (err error) {
	for i := len(s.closeAll) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closeAll[i]())
	}
	return err
}

// fatal ends the process: its state can no longer be relied on.
func (s *server) fatal(err error) {
	s.logger.Error().Err(err).Msg("the broker cannot go on")
	fmt.Fprintln(os.Stderr, "warren:", err)
	os.Exit(1)
}

// lifeSessions is more sessions than a node can have in one life.
const lifeSessions = 1 << 40

// openStore opens the data directory with its part of the memory, and lets the broker keep its messages and metadata there.
func (s *server) openStore(ctx context.Context, dir string, memory uint64, config *broker.Config) error {
	options := store.Options{
		Fatal: config.Fatal, Stuck: s.damage.note, Log: func(format string, args ...any) { s.logger.Error().Msgf("store: "+format, args...) },
	}
	sizeStore(memory, &options)
	if err := config.Validate(); err != nil {
		return err
	}
	metadata, err := s.openData(ctx, dir, &options, config)
	if errors.Is(err, store.ErrDamaged) && s.values.Text("cluster_listen") != "" && clustered.Known(dir) {
		if err = s.beginAnew(dir, err); err == nil {
			metadata, err = s.openData(ctx, dir, &options, config)
		}
	}
	if err != nil {
		return err
	}
	opened := s.store
	s.closeAll = append(s.closeAll, opened.Close)
	logs := raftlog.Options{
		Node: config.Node, Store: opened, Clock: config.Clock, Fatal: config.Fatal, Logger: s.journal.Area("ra"),
	}
	sizeLog(memory, &logs)
	if s.values.Text("cluster_listen") != "" {
		if err := s.openCluster(ctx, dir, metadata, logs, config); err != nil {
			return err
		}
		host := s.cluster.Host()
		config.Storage = func() metrics.Storage { return usage(opened, host) }
		return nil
	}
	host := raftlog.NewHost(logs)
	s.closeAll = append(s.closeAll, host.Close)
	config.Meta, config.Log = metadata, host
	config.Storage = func() metrics.Storage { return usage(opened, host) }
	return nil
}

// openData opens the store, and what of it is this node's alone.
func (s *server) openData(ctx context.Context, dir string, o *store.Options, config *broker.Config) (metadata *metadb.DB, err error) {
	if s.store, err = store.Open(dir, *o); err != nil {
		return nil, err
	}
	if metadata, err = metadb.Open(ctx, s.store); err == nil {
		config.FirstSession, err = s.store.BeginLife(broker.SessionsOf(config.Clock()), lifeSessions)
	}
	if err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return metadata, nil
}
