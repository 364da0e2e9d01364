package logs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestAreasHaveLevels(t *testing.T) {
	var text, objects strings.Builder
	b := New(Levels{"default": zerolog.InfoLevel, "connection": zerolog.WarnLevel, "queue": zerolog.DebugLevel},
		Output{Writer: &text, Level: zerolog.TraceLevel}, Output{Writer: &objects, JSON: true, Level: zerolog.ErrorLevel})
	speak := func() {
		text.Reset()
		objects.Reset()
		for _, area := range []string{"connection", "queue", "channel", "else"} {
			l := b.Area(area)
			l = l.With().Str("area", area).Logger()
			l.Debug().Msg(area + "-debug")
			l.Info().Msg(area + "-info")
			l.Warn().Msg(area + "-warn")
			l.Error().Msg(area + "-error")
		}
	}
	check := func(out string, want ...string) {
		t.Helper()
		if got := strings.Count(strings.TrimSpace(out), "\n") + 1; got != len(want) {
			t.Errorf("%d lines, want %d:\n%s", got, len(want), out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s is missing in\n%s", w, out)
			}
		}
	}
	speak()
	check(text.String(), "connection-warn", "connection-error", "queue-debug", "queue-info", "queue-warn", "queue-error",
		"channel-info", "channel-warn", "channel-error", "else-info", "else-warn", "else-error")
	check(objects.String(), "connection-error", "queue-error", "channel-error", "else-error")
	var line map[string]any
	if err := json.Unmarshal([]byte(strings.Split(objects.String(), "\n")[0]), &line); err != nil || line["area"] != "connection" || line["level"] != "error" {
		t.Errorf("%v, %v", line, err)
	}

	b.SetLevels(Levels{"default": zerolog.Disabled, "connection": zerolog.InfoLevel})
	b.SetOutput(1, zerolog.InfoLevel)
	speak()
	check(text.String(), "connection-info", "connection-warn", "connection-error")
	check(objects.String(), "connection-info", "connection-warn", "connection-error")
}

func TestOneLevelChanges(t *testing.T) {
	var text strings.Builder
	b := New(Levels{"default": zerolog.WarnLevel}, Output{Writer: &text, Level: zerolog.WarnLevel})
	queue, channel := b.Area("queue"), b.Area("channel")
	if err := b.SetLevel("queue", zerolog.DebugLevel); err != nil {
		t.Fatal(err)
	}
	queue.Debug().Msg("one")
	channel.Info().Msg("two")
	if err := b.SetLevel("default", zerolog.InfoLevel); err != nil {
		t.Fatal(err)
	}
	queue.Debug().Msg("three")
	channel.Info().Msg("four")
	if got := text.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "one") || !strings.Contains(got, "four") {
		t.Error(got)
	}
	if err := b.SetLevel("mirroring", zerolog.InfoLevel); err == nil {
		t.Error("there is no such area")
	}
}

func TestLevelNames(t *testing.T) {
	if l, err := Level("warn"); err != nil || l != zerolog.WarnLevel {
		t.Error(l, err)
	}
	if _, err := Level("loud"); err == nil {
		t.Error("there is no such level")
	}
}
