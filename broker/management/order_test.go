package management

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/warrenmq/warren/broker/stats"
	"github.com/warrenmq/warren/broker/topology"
	"github.com/warrenmq/warren/protocol"
)

// someQueues declares queues of all types in two vhosts, puts different numbers of messages in them, and lets time pass
// between the messages, so that there are rates.
func someQueues(w *world) {
	w.do(201, "PUT", "/vhosts/other", "")
	w.permit("guest", "other")
	w.do(201, "PUT", "/policies/%2F/p", `{"pattern":"[37]$","definition":{"max-length":100}}`)
	w.do(201, "PUT", "/operator-policies/%2F/o", `{"pattern":"5$","definition":{"max-length":100}}`)
	kinds := []string{`{"durable":true}`, `{"auto_delete":true}`, `{"durable":true,"arguments":{"x-queue-type":"quorum"}}`, `{"durable":true,"arguments":{"x-queue-type":"stream"}}`}
	for i := range 32 {
		w.do(201, "PUT", fmt.Sprintf("/queues/%s/q%d", []string{"%2F", "other"}[i/16], i), kinds[i%len(kinds)])
	}
	c := w.client("guest", "/")
	for round := range 3 {
		for i := range 16 {
			for range (i*7 + round*5) % 11 {
				if routed, err := c.publish("", fmt.Sprintf("q%d", i), protocol.Properties{0, 0}, make([]byte, i)); err != nil || !routed {
					w.t.Fatal(routed, err)
				}
			}
		}
		w.do(200, "POST", "/queues/%2F/q0/get", `{"count":2,"ackmode":"ack_requeue_false","encoding":"auto"}`)
		w.do(200, "POST", "/queues/%2F/q2/get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`)
		w.now.Add(stats.Interval.Milliseconds())
		w.sampler.sample(context.Background())
	}
}

// paths gives the fields of an object, and of the objects in it.
func paths(prefix []string, o object, into map[string][]string) {
	for name, value := range o {
		path := append(slices.Clone(prefix), name)
		into[fmt.Sprint(path)] = path
		if inner, ok := value.(object); ok {
			paths(path, inner, into)
		}
	}
}

// TestTheShortWayToAFieldGivesTheField: queues that are sorted without making objects stand as if objects were made, by
// whatever field; the fields that people sort by have a short way.
func TestTheShortWayToAFieldGivesTheField(t *testing.T) {
	w := newWorld(t)
	someQueues(w)
	queues := queuesIn([]*topology.VHost{w.Editor.Catalog().VHost("/"), w.Editor.Catalog().VHost("other")})
	l := (&request{server: w.Server, http: w.httpRequest("/queues")}).queueList(w.queueLists.of([]*topology.VHost{w.Editor.Catalog().VHost("/"), w.Editor.Catalog().VHost("other")}))
	all := make([]int, len(queues))
	for i := range all {
		all[i] = i
	}
	fields := map[string][]string{}
	for _, o := range l.show(all) {
		paths(nil, o, fields)
	}
	short := map[string]bool{}
	for name, field := range fields {
		c, ok := l.keys(all, field)
		if !ok {
			continue
		}
		short[name] = true
		for i, want := range l.fields(all, field) {
			got, wanted := c.key(i), makeSortKey(want)
			if got != wanted {
				t.Errorf("%s of %s: %+v, want %+v", name, queues[i].Name, got, wanted)
			}
		}
	}
	for _, name := range []string{
		"[name]", "[vhost]", "[type]", "[policy]", "[messages]", "[messages_ready]", "[messages_unacknowledged]", "[consumers]", "[memory]",
		"[message_bytes]", "[state]", "[consumer_capacity]", "[effective_policy_definition max-length]",
		"[messages_persistent]", "[messages_details rate]", "[message_stats publish_details rate]",
		"[message_stats deliver_get]", "[message_stats deliver_get_details rate]", "[message_stats ack_details rate]", "[message_stats redeliver]",
	} {
		if !short[name] {
			t.Errorf("no short way to %s", name)
		}
	}
}

// key is what stands at a place of a column.
func (c *column) key(i int) sortKey {
	if c.numbers != nil {
		return makeSortKey(c.numbers[i])
	}
	return c.keys[i]
}

// TestAPartOfAnOrder: any part of a list is what it is when the whole is sorted.
func TestAPartOfAnOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		c := column{numbers: make([]float64, random.IntN(60))}
		for i := range c.numbers {
			c.numbers[i] = float64(random.IntN(12))
		}
		l := &list{names: make([]string, c.len()), keys: func([]int, []string) (column, bool) { return c, true }}
		v := view{sort: []string{"x"}, reverse: random.IntN(2) == 0}
		from := random.IntN(c.len() + 1)
		to := from + random.IntN(c.len()-from+1)
		all, err := l.choose(&v)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Clone(all)
		slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(c.numbers[a], c.numbers[b]) })
		if v.reverse {
			slices.Reverse(want)
		}
		if got := l.arrange(slices.Clone(all), &v, from, to); !slices.Equal(got, want[from:to]) {
			t.Fatalf("%v from %d to %d, reversed %v: %v, want %v", c.numbers, from, to, v.reverse, got, want[from:to])
		}
	}
}

// TestAPatternThatTakesTooLong is not looked for in name after name.
func TestAPatternThatTakesTooLong(t *testing.T) {
	v, err := readView(url.Values{"page": {"1"}, "name": {"^(a+)+$"}, "use_regex": {"true"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	l := &list{names: make([]string, 1000)}
	if _, err := l.choose(&v); err != nil {
		t.Error(err)
	}
	v.until = time.Now()
	if _, err := l.choose(&v); err == nil {
		t.Error("it is looked for though its time is over")
	}
}

func TestOrderOfValues(t *testing.T) {
	values := []any{nil, -1, float(0.5), int64(7), true, false, "a", "b", float(3), uint64(2)}
	l := &list{names: make([]string, len(values)), keys: func(indexes []int, _ []string) (column, bool) {
		keys := make([]any, len(indexes))
		for i, at := range indexes {
			keys[i] = values[at]
		}
		return columnOf(keys), true
	}}
	indexes := []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	l.order(indexes, []string{"x"}, 0, len(indexes))
	if want := []int{1, 0, 2, 9, 8, 3, 5, 4, 6, 7}; !slices.Equal(indexes, want) {
		t.Errorf("%v, want %v", indexes, want)
	}
}

// BenchmarkQueuePage is a page of a hundred queues out of 100,000, as a dashboard asks for it.
func BenchmarkQueuePage(b *testing.B) {
	w := newWorld(b)
	c := w.client("guest", "/")
	for i := range 100_000 {
		_, err := c.call(1, &protocol.QueueDeclare{Queue: fmt.Sprintf("queue-%05d", i*7919%100_000)})
		w.must(err)
	}
	for i := range 1000 {
		for range i % 7 {
			if routed, err := c.publish("", fmt.Sprintf("queue-%05d", i*97), protocol.Properties{0, 0}, []byte("x")); err != nil || !routed {
				b.Fatal(routed, err)
			}
		}
	}
	for _, sort := range []string{"", "name", "messages", "message_stats.publish_details.rate", "policy", "arguments.x-max-length"} {
		b.Run("by="+sort, func(b *testing.B) {
			for b.Loop() {
				w.do(200, "GET", "/queues?page=1&page_size=100&sort_reverse=true&sort="+sort, "")
			}
		})
	}
}
