package broker

import (
	"context"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/warrenmq/warren/broker/events"
	"github.com/warrenmq/warren/broker/group"
	"github.com/warrenmq/warren/broker/limits"
	"github.com/warrenmq/warren/protocol"
)

// voice is the Announcer as loggers know it, which are there before it is.
type voice struct {
	announcer atomic.Pointer[events.Announcer]
}

// Run implements zerolog.Hook.
func (v *voice) Run(e *zerolog.Event, level zerolog.Level, text string) {
	v.announcer.Load().Run(e, level, text)
}

// hook lets the log be heard through its exchange too.
func (b *Broker) hook() {
	c := &b.config
	b.ownLogger = *c.Logger
	hooked := c.Logger.Hook(&b.voice)
	c.Logger = &hooked
	if area := c.Area; area != nil {
		c.Area = func(name string) zerolog.Logger { return area(name).Hook(&b.voice) }
	}
}

// announce starts what tells clients, through exchanges, what happens.
func (b *Broker) announce(inboxes *group.Inboxes, session uint64) *events.Announcer {
	c := &b.config
	a := events.New(events.Env{
		Node: c.Node, Session: session, Name: c.NodeName, VHost: c.Defaults.VHost, Catalog: b.editor.Catalog, Groups: &b.groups,
		Inboxes: inboxes, Clock: c.Clock, Logger: b.ownLogger,
	})
	b.voice.announcer.Store(a)
	b.editor.Changed = a.Done
	return a
}

// announcing makes the exchanges for it.
func (b *Broker) announcing(ctx context.Context) error {
	return b.editor.Announcing(ctx, b.config.Defaults.VHost, events.Exchanges...)
}

// tellAlarm says that an alarm was raised or cleared.
func (b *Broker) tellAlarm(alarm limits.Kind, set bool) {
	if b.groups.links != nil {
		b.groups.links.TellAlarms()
	}
	name := "alarm.cleared"
	if set {
		name = "alarm.set"
	}
	b.voice.announcer.Load().Tell(name, "", func() protocol.Table {
		return protocol.Table{{Key: "alarm", Value: alarm.String()}, {Key: "node", Value: b.config.NodeName}}
	})
}
