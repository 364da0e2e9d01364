package queue

import "github.com/warrenmq/warren/broker/message"

// each visits the commands of a batch as they are encoded, each with its head.
func each(data []byte, visit func(op Op, command []byte) error) error {
	for len(data) > 0 {
		if len(data) < commandHead || data[1] != commandVersion || uint64(len(data)) < commandHead+uint64(le.Uint32(data[2:])) {
			return ErrCommand
		}
		n := commandHead + le.Uint32(data[2:])
		if err := visit(Op(data[0]), data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// open decodes a command that is no publish.
func (s *Set) open(op Op, command []byte) (Command, error) {
	c := s.newCommand(op)
	if c == nil {
		return nil, ErrCommand
	}
	s.reader = reader{data: command[commandHead:]}
	if c.decode(&s.reader); s.reader.bad {
		return nil, ErrCommand
	}
	return c, nil
}

// Commands visits the commands of a batch, but publishes and settlements.
func Commands(data []byte, visit func(c Command)) error {
	var s Set
	return each(data, func(op Op, command []byte) error {
		if op == OpPublish || op == OpSettle {
			return nil
		}
		c, err := s.open(op, command)
		if err == nil {
			visit(c)
		}
		return err
	})
}

// Publishes visits the messages of a batch that are to be confirmed, those of one command together.
func Publishes(data []byte, visit func(channel uint16, number uint64, count uint32)) error {
	return each(data, func(op Op, command []byte) error {
		if op != OpPublish {
			return nil
		}
		var p publish
		err := p.decode(command[commandHead:], commandHead)
		if err == nil && p.confirm {
			visit(p.channel, p.number, p.count)
		}
		return err
	})
}

// Check tells whether a machine could read a batch, which comes from another node: once it is in the log it is too late.
func Check(data []byte) error {
	var s Set
	return each(data, func(op Op, command []byte) error {
		if op != OpPublish {
			_, err := s.open(op, command)
			return err
		}
		if err := s.publish.decode(command[commandHead:], commandHead); err != nil {
			return err
		}
		return s.publish.check()
	})
}

// check tells whether the records of a publish are what it says of them.
func (p *publish) check() error {
	var h message.Head
	if p.stride != 0 {
		stride, err := readHead(p.records, &h)
		if err != nil || stride != p.stride || uint64(len(p.records)) != uint64(p.stride)*uint64(p.count) {
			return ErrCommand
		}
		return nil
	}
	count := uint32(0)
	for rest := p.records; len(rest) > 0; count++ {
		stride, err := readHead(rest, &h)
		if err != nil {
			return err
		}
		rest = rest[stride:]
	}
	if count != p.count {
		return ErrCommand
	}
	return nil
}

// Turned is what was taken out of a batch.
type Turned struct {
	Messages uint64 // that were to be published
	Silent   uint64 // and of these, those that nobody waits for
	Queue    ID     // that one of them was for
	Requests uint64
}

// TurnAway takes out of a batch what begins something new: messages that are published, if messages is set, and requests, if
// requests is. It gives the rest, which is about what began before, and says what those are told who wait. data is borrowed.
func TurnAway(data []byte, messages, requests bool, say func(Effect)) (rest []byte, turned Turned, err error) {
	var s Set
	err = each(data, func(op Op, command []byte) error {
		switch {
		case op == OpPublish && messages:
			return turned.publish(command, say)
		case op != OpAttach && op != OpDetach && op != OpGet && op != OpPurge && op != OpDelete || !requests:
			rest = append(rest, command...)
			return nil
		}
		c, err := s.open(op, command)
		if err == nil {
			turned.Requests++
			say(Effect{Kind: Answer, Request: RequestOf(c), Outcome: Unavailable})
		}
		return err
	})
	return rest, turned, err
}

func (t *Turned) publish(command []byte, say func(Effect)) error {
	var p publish
	if err := p.decode(command[commandHead:], commandHead); err != nil {
		return err
	}
	t.Messages += uint64(p.count)
	if len(p.targets) > 0 {
		t.Queue = p.target(0)
	}
	if !p.confirm {
		t.Silent += uint64(p.count)
		return nil
	}
	say(Effect{Kind: Refuse, Channel: p.channel, Number: p.number, Count: p.count})
	return nil
}

// RequestOf gives the number of the request that a command is answered under, 0 if nobody waits for an answer.
func RequestOf(c Command) uint32 {
	switch c := c.(type) {
	case *Declare:
		return c.Request
	case *Delete:
		return c.Request
	case *Purge:
		return c.Request
	case *Attach:
		return c.Request
	case *Detach:
		return c.Request
	case *Get:
		return c.Request
	case *Down:
		return c.Request
	case *Leave:
		return c.Request
	}
	return 0
}
