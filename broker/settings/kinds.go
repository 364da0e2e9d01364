package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind says what values a setting can have.
type Kind int

// The kinds of settings.
const (
	Text      Kind = iota // any text
	Number                // a whole number
	Ratio                 // a number of 0 to 1, or a percentage
	Boolean               // true or false; on, off, yes and no count as well
	Size                  // bytes: 1048576, 1MiB, 1MB
	Duration              // a time with its unit: 500ms, 30s, 1h30m
	Choice                // one of the setting's choices
	Level                 // of a log
	Address               // host:port, :port or port
	Addresses             // several of them, between commas
	Networks              // addresses or networks 10.0.0.0/8, between commas
	Pattern               // a regular expression
	Words                 // words between commas
	Span                  // a time in RabbitMQ's words: 2w, 1d12h, 1h30m, 1s500ms
	Bytes                 // more than 0: 1000, 1KB, which is 1024 here as it is in RabbitMQ, 1MiB
)

var kindNames = [...]string{
	"text", "number", "ratio", "boolean", "size", "duration", "choice", "level", "address", "addresses", "networks", "pattern", "words", "span", "bytes",
}

// String is the word in the table.
func (k Kind) String() string { return kindNames[k] }

// levels are RabbitMQ's log levels, and what they are called in a log here.
var levels = map[string]string{
	"debug": "debug", "info": "info", "notice": "info", "warning": "warn", "warn": "warn", "error": "error",
	"critical": "error", "alert": "error", "emergency": "error", "none": "disabled", "false": "disabled",
}

// LevelName gives a level of RabbitMQ's as a log here calls it, "" for what is none.
func LevelName(name string) string { return levels[name] }

// check tells why the setting cannot have a value.
func (s *Setting) check(value string) error {
	switch s.Kind {
	case Number:
		return s.checkNumber(value)
	case Ratio:
		_, err := ratio(value)
		return err
	case Boolean:
		_, err := boolean(value)
		return err
	case Size:
		_, err := sizeOf(value)
		return err
	case Duration:
		if d, err := time.ParseDuration(value); err != nil || d < 0 {
			return errors.New("is no time; write one like 500ms, 30s or 1h")
		}
	case Choice:
		for _, c := range s.Choices {
			if c == value {
				return nil
			}
		}
		return fmt.Errorf("is none of %s", strings.Join(s.Choices, ", "))
	case Level:
		if levels[value] == "" {
			return errors.New("is no log level; there are debug, info, warning, error and none")
		}
	case Address, Addresses, Networks:
		return s.checkAddresses(value)
	case Pattern:
		if _, err := regexp.Compile(value); err != nil {
			return fmt.Errorf("is no regular expression: %w", err)
		}
	case Span:
		_, err := spanOf(value)
		return err
	case Bytes:
		_, err := bytesOf(value)
		return err
	case Text, Words:
	}
	return nil
}

func (s *Setting) checkNumber(value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return errors.New("is no whole number")
	case n < s.Least:
		return fmt.Errorf("is too low, the least is %d", s.Least)
	case s.Most > 0 && n > s.Most:
		return fmt.Errorf("is too high, the most is %d", s.Most)
	}
	return nil
}

func (s *Setting) checkAddresses(value string) error {
	if s.Kind == Address {
		_, err := address(value)
		return err
	}
	for _, one := range split(value) {
		var err error
		if s.Kind == Networks {
			_, err = network(one)
		} else {
			_, err = address(one)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func boolean(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "on", "yes", "1":
		return true, nil
	case "false", "off", "no", "0":
		return false, nil
	}
	return false, errors.New("is neither true nor false")
}

func ratio(value string) (float64, error) {
	text, percent := strings.CutSuffix(value, "%")
	f, err := strconv.ParseFloat(text, 64)
	if percent {
		f /= 100
	}
	if err != nil || f < 0 || math.IsNaN(f) {
		return 0, errors.New("is no ratio; write one like 0.6")
	}
	return f, nil
}

// units are what a size may end in; those without an i are powers of ten, as in RabbitMQ.
var units = map[string]uint64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

func sizeOf(value string) (uint64, error) {
	end := strings.IndexFunc(value, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(value)
	}
	n, err := strconv.ParseUint(value[:end], 10, 64)
	unit, known := units[strings.ToLower(strings.TrimSpace(value[end:]))]
	if err != nil || !known || n > math.MaxInt64/unit {
		return 0, errors.New("is no size; write one like 512MiB or 2GB")
	}
	return n * unit, nil
}

// bytesOf reads what RabbitMQ calls a bytesize: all its units are powers of two.
func bytesOf(value string) (uint64, error) {
	text := strings.ToLower(value)
	if head, ok := strings.CutSuffix(text, "b"); ok && !strings.HasSuffix(head, "i") {
		text = head // "1kb" is "1k"
	}
	n, err := sizeOf(text)
	if err == nil && n == 0 {
		err = errors.New("must be more than 0")
	}
	return n, err
}

// spanUnits are what a number in a span may be followed by; each is a time of its own.
var spanUnits = map[string]time.Duration{
	"f": 14 * 24 * time.Hour, "w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
}

// spanPart is a number with its unit.
var spanPart = regexp.MustCompile(`^([0-9]+)(ms|[fwdhms])`)

// spanOf reads what RabbitMQ calls a duration.
func spanOf(value string) (span time.Duration, err error) {
	for rest := value; rest != "" || value == ""; {
		part := spanPart.FindStringSubmatch(rest)
		if part == nil {
			return 0, errors.New("is no time; write one like 500ms, 30s, 1h30m or 2d")
		}
		n, err := strconv.ParseInt(part[1], 10, 64)
		unit := spanUnits[part[2]]
		if err != nil || n > int64((math.MaxInt64-span)/unit) {
			return 0, errors.New("is too long a time")
		}
		span += time.Duration(n) * unit
		rest = rest[len(part[0]):]
	}
	return span, nil
}

// address makes host:port of what may be a port alone, which is on all interfaces.
func address(value string) (string, error) {
	if _, err := strconv.Atoi(value); err == nil {
		value = ":" + value
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return "", errors.New("is no address; write one like 127.0.0.1:5672, :5672 or 5672")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > math.MaxUint16 {
		return "", fmt.Errorf("has the port %q; ports are 0 to %d", port, math.MaxUint16)
	}
	return value, nil
}

func network(value string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(value); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return p, fmt.Errorf("has %q, which is neither an address nor a network", value)
	}
	return p, nil
}

// split gives the words between commas.
func split(value string) (words []string) {
	for _, w := range strings.Split(value, ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}
