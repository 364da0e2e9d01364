package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/warrenmq/warren/broker/settings"
)

// spansTime is how long the last spans have to leave.
const spansTime = 2 * time.Second

// tracesPath is where a receiver takes spans, if its URL does not say.
const tracesPath = "/v1/traces"

// openTracer makes what spans go to, nil if nobody wants any. What the setting does not say, OpenTelemetry's own variables
// do. close waits for the last spans to leave.
func openTracer(ctx context.Context, v *settings.Values, node string, logger zerolog.Logger) (t trace.Tracer, closing func() error, err error) {
	endpoint := v.Text("tracing.otlp.endpoint")
	asked := endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !asked || os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil, nil
	}
	var options []otlptracehttp.Option
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, nil, errors.New("tracing.otlp.endpoint: it wants a URL such as http://127.0.0.1:4318")
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = tracesPath
		}
		options = append(options, otlptracehttp.WithEndpointURL(u.String()))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the export of spans: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "warren"), attribute.String("service.instance.id", node),
		attribute.String("service.version", version())), resource.WithFromEnv())
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(&spanErrors{logger: logger})
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return provider.Tracer("github.com/warrenmq/warren"), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), spansTime)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn().Err(err).Msg("the last spans did not leave")
		}
		return nil
	}, nil
}

// spanErrors logs that spans cannot be exported, once a minute at most.
type spanErrors struct {
	logger zerolog.Logger
	last   atomic.Int64 // seconds
}

// Handle implements otel.ErrorHandler.
func (e *spanErrors) Handle(err error) {
	now := time.Now().Unix()
	if last := e.last.Load(); now-last >= 60 && e.last.CompareAndSwap(last, now) {
		e.logger.Warn().Err(err).Msg("spans cannot be exported")
	}
}
