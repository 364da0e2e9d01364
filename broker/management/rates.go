package management

import (
	"net/url"
	"strconv"
	"time"

	"github.com/warrenmq/warren/broker/stats"
)

// span is how far back samples are wanted, and how far apart. The zero value wants none.
type span struct{ age, step time.Duration }

// ages are the spans that a request asks for, by what they are about.
type ages struct{ lengths, messages, data, node span }

// ages reads what history the request wants.
func (q *request) ages() ages { return agesOf(q.http.URL.Query()) }

func agesOf(query url.Values) ages {
	return ages{
		lengths: readSpan(query, "lengths"), messages: readSpan(query, "msg_rates"),
		data: readSpan(query, "data_rates"), node: readSpan(query, "node_stats"),
	}
}

// spanMax is the longest history there is.
const spanMax = 24 * time.Hour

// readSpan reads NAME_age and NAME_incr, in seconds; both are needed.
func readSpan(query url.Values, name string) span {
	age, err := strconv.Atoi(query.Get(name + "_age"))
	step, err2 := strconv.Atoi(query.Get(name + "_incr"))
	if err != nil || err2 != nil || age < 0 || step <= 0 {
		return span{}
	}
	return span{min(time.Duration(age)*time.Second, spanMax), time.Duration(step) * time.Second}
}

// details is how a number changes, with its history if that is wanted. Several numbers are added up.
func details(v stats.View, s span, numbers ...int) object {
	rate := 0.0
	for _, i := range numbers {
		rate += v.Rate(i)
	}
	o := object{"rate": float(rate)}
	if s.step == 0 {
		return o
	}
	samples := v.Samples(numbers[0], s.age, s.step)
	for _, i := range numbers[1:] {
		for at, more := range v.Samples(i, s.age, s.step) {
			samples[at].Value += more.Value
		}
	}
	o["samples"], o["avg_rate"], o["avg"] = samples, float(0), float(0)
	if n := len(samples); n > 0 {
		sum := int64(0)
		for _, sample := range samples {
			sum += sample.Value
		}
		o["avg"] = float(float64(sum) / float64(n))
		if last, first := samples[0], samples[n-1]; last.Time > first.Time {
			o["avg_rate"] = float(float64(last.Value-first.Value) * 1000 / float64(last.Time-first.Time))
		}
	}
	return o
}

// addLengths adds the lengths of queues as they were sampled.
func addLengths(o object, v stats.View, a ages) {
	for i, name := range lengthNames {
		n, _ := v.At(i, v.Last())
		o[name] = n
		o[name+detailsSuffix] = details(v, a.lengths, i)
	}
}

var lengthNames = [lengths]string{"messages_ready", "messages_unacknowledged", "messages"}

// published and delivered are the kinds that are shown together, if any of them has happened.
var (
	published = []stats.Kind{stats.Publish, stats.Confirm, stats.ReturnUnroutable, stats.DropUnroutable}
	delivered = []stats.Kind{stats.Get, stats.GetNoAck, stats.GetEmpty, stats.Deliver, stats.DeliverNoAck, stats.Redeliver, stats.Ack}
	handed    = []stats.Kind{stats.Get, stats.GetNoAck, stats.Deliver, stats.DeliverNoAck}
	exchanged = []stats.Kind{stats.PublishIn, stats.PublishOut}
)

// messageStats shows what was published and delivered, with rates.
func messageStats(c stats.Counts, v stats.View, a ages) object {
	return messageStatsAt(c, v, 0, a, published, delivered)
}

// messageStatsAt shows groups of counts that stand in the view from base on.
func messageStatsAt(c stats.Counts, v stats.View, base int, a ages, groups ...[]stats.Kind) object {
	o := object{}
	for _, kinds := range groups {
		any := uint64(0)
		for _, k := range kinds {
			any += c[k]
		}
		if any == 0 {
			continue
		}
		for _, k := range kinds {
			o[k.String()] = c[k]
			o[k.String()+detailsSuffix] = details(v, a.messages, base+int(k))
		}
	}
	if _, shown := o[stats.Deliver.String()]; shown {
		sum, at := uint64(0), make([]int, len(handed))
		for i, k := range handed {
			sum += c[k]
			at[i] = base + int(k)
		}
		o[deliverGetField], o[deliverGetField+detailsSuffix] = sum, details(v, a.messages, at...)
	}
	return o
}
