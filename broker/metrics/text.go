package metrics

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// page is the text that Prometheus gets, on its way out.
type page struct {
	ctx    context.Context
	out    io.Writer
	text   []byte
	broken bool
}

// pageMax is how much is gathered before it is written.
const pageMax = 64 << 10

// kind is the type of a metric.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	untyped   kind = "untyped"
	histogram kind = "histogram"
)

// head begins a metric: its series follow.
func (p *page) head(name string, k kind, help string) {
	p.text = append(append(append(append(p.text, "# TYPE "...), name...), ' '), k...)
	p.text = append(append(append(append(p.text, "\n# HELP "...), name...), ' '), help...)
	p.text = append(p.text, '\n')
}

// series writes one number. labels is empty or made by label.
func (p *page) series(name, labels string, value float64) {
	p.text = append(p.text, name...)
	if labels != "" {
		p.text = append(append(append(p.text, '{'), labels...), '}')
	}
	p.text = append(appendNumber(append(p.text, ' '), value), '\n')
	if len(p.text) >= pageMax {
		p.flush()
	}
}

// one writes a metric that is a single number.
func (p *page) one(name string, k kind, help string, value float64) {
	p.head(name, k, help)
	p.series(name, "", value)
}

// flush writes what was gathered. Whoever has gone away gets nothing more.
func (p *page) flush() {
	if !p.broken {
		_, err := p.out.Write(p.text)
		p.broken = err != nil
	}
	p.text = p.text[:0]
}

// wholeMax is up to where every whole number can be said exactly.
const wholeMax = 1 << 53

func appendNumber(dst []byte, value float64) []byte {
	switch {
	case math.IsInf(value, 1):
		return append(dst, "+Inf"...)
	case value == math.Trunc(value) && math.Abs(value) < wholeMax:
		return strconv.AppendInt(dst, int64(value), 10)
	}
	return strconv.AppendFloat(dst, value, 'g', -1, 64)
}

// label makes labels of names and values, in turn. One name that is not UTF-8 must not spoil the page for all others.
func label(pairs ...string) string {
	var text []byte
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, pairs[i]...), '=', '"')
		for _, c := range []byte(strings.ToValidUTF8(pairs[i+1], "\uFFFD")) {
			switch c {
			case '\n':
				text = append(text, '\\', 'n')
			case '"', '\\':
				text = append(text, '\\', c)
			default:
				text = append(text, c)
			}
		}
		text = append(text, '"')
	}
	return string(text)
}

// metric is a number that every object of a kind has.
type metric[T any] struct {
	name  string
	kind  kind
	help  string
	value func(*T) float64
	// whole is the number of the node, where that is not the sum over the objects there are now.
	whole func(*picture) float64
}

// family is metrics that are read together, by RabbitMQ's name for them.
type family[T any] struct {
	name    string
	metrics []metric[T]
}

// each writes a family object by object.
func (f *family[T]) each(p *page, prefix string, objects []T, labels func(*T) string) {
	known := make([]string, len(objects))
	for i := range objects {
		known[i] = labels(&objects[i])
	}
	for i := range f.metrics {
		m := &f.metrics[i]
		if m.value == nil {
			continue
		}
		p.head(prefix+m.name, m.kind, m.help)
		for j := range objects {
			p.series(prefix+m.name, known[j], m.value(&objects[j]))
		}
	}
}

// add adds an object's numbers to sums, which are as many as the family's metrics.
func (f *family[T]) add(sums []float64, object *T) {
	for i := range f.metrics {
		if m := &f.metrics[i]; m.whole == nil {
			sums[i] += m.value(object)
		}
	}
}

// total writes a family as numbers of the node.
func (f *family[T]) total(p *page, all *picture, sums []float64) {
	for i := range f.metrics {
		m := &f.metrics[i]
		if m.whole != nil {
			sums[i] = m.whole(all)
		}
		p.one("rabbitmq_"+m.name, m.kind, m.help, sums[i])
	}
}

func bug(format string, values ...any) { panic("metrics: " + fmt.Sprintf(format, values...)) }
