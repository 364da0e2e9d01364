package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/broker/settings"
)

// receiver takes spans by OTLP over HTTP.
type receiver struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	data, err := io.ReadAll(q.Body)
	var got collector.ExportTraceServiceRequest
	if err != nil || q.URL.Path != tracesPath || proto.Unmarshal(data, &got) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range got.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
}

// names gives the names of the spans, each with the name of what it is part of.
func (r *receiver) names(trace, parent string) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	within := map[string]string{parent: "the publisher"}
	for _, s := range r.spans {
		within[hex.EncodeToString(s.GetSpanId())] = s.GetName()
	}
	for _, s := range r.spans {
		if hex.EncodeToString(s.GetTraceId()) != trace || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			list = append(list, "a span of another trace, or that ends before it begins: "+s.GetName())
			continue
		}
		list = append(list, s.GetName()+" in "+within[hex.EncodeToString(s.GetParentSpanId())])
	}
	slices.Sort(list)
	return list
}

// TestSpans: a message that belongs to a trace that is recorded has its way through the broker in it; others have nothing,
// and their headers stay as they are.
func TestSpans(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, way := range []struct{ flag, variable string }{{"--tracing-otlp-endpoint", ""}, {"", "OTEL_EXPORTER_OTLP_ENDPOINT"}} {
		r := &receiver{}
		web := httptest.NewServer(r)
		defer web.Close()
		dir := t.TempDir()
		args := []string{"--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", "ready"}
		if way.flag != "" {
			args = append(args, way.flag, web.URL)
		} else {
			t.Setenv(way.variable, web.URL)
		}
		p := launch(t, dir, args...)
		p.ready()
		conn, err := amqp.Dial("amqp://guest:guest@" + readyFile(t, filepath.Join(dir, "ready"))["AMQP"])
		if err != nil {
			t.Fatal(err)
		}
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.QueueDeclare("q", false, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		for _, header := range []string{"00-" + trace + "-" + parent + "-01", "00-" + trace + "-" + parent + "-00", "nonsense", ""} {
			m := amqp.Publishing{Body: []byte("x")}
			if header != "" {
				m.Headers = amqp.Table{"traceparent": header}
			}
			if err := ch.Publish("", "q", false, false, m); err != nil {
				t.Fatal(err)
			}
		}
		ds, err := ch.Consume("q", "", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			d := <-ds
			if i == 0 && d.Headers["traceparent"] != "00-"+trace+"-"+parent+"-01" {
				t.Errorf("delivered with %v", d.Headers)
			}
			if err := d.Ack(false); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		p.stop()
		want := []string{"deliver in the publisher", "receive in the publisher", "route in receive", "settle in deliver"}
		if got := r.names(trace, parent); !slices.Equal(got, want) {
			t.Errorf("%v: spans %q, want %q", way, got, want)
		}
	}
}

// TestSpansNobodyTakes: a receiver that is away holds nothing up, and one that cannot be is refused.
func TestSpansNobodyTakes(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", "ready", "--tracing-otlp-endpoint", "http://127.0.0.1:1")
	p.ready()
	p.stop()
	open := func(endpoint string) (any, error) {
		v, err := settings.Load(settings.Sources{Environ: []string{"WARREN_TRACING_OTLP_ENDPOINT=" + endpoint}})
		if err != nil {
			t.Fatal(err)
		}
		tracer, _, err := openTracer(t.Context(), v, "n", zerolog.Nop())
		return tracer, err
	}
	if _, err := open("localhost:4318"); err == nil {
		t.Error("an address without a scheme is taken")
	}
	if tracer, err := open(""); tracer != nil || err != nil {
		t.Errorf("without a word: %v, %v", tracer, err)
	}
}
