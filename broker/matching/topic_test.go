package matching

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTopicPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern  string
		matching []string
		others   []string
	}{
		{"", []string{""}, []string{"a", ".", "a.b"}},
		{"a", []string{"a"}, []string{"", "A", "a.", ".a", "a.a", "b"}},
		{"a.b", []string{"a.b"}, []string{"a", "b", "a.b.", "a..b", "b.a", "a.b.c"}},
		{"*", []string{"a", "*", "#", "abc"}, []string{"", "a.b", "."}},
		{"*.*", []string{"a.b", ".", "a.", ".b"}, []string{"", "a", "a.b.c"}},
		{"a.*", []string{"a.b", "a."}, []string{"a", "b.a", "a.b.c"}},
		{"*.a", []string{"b.a", ".a"}, []string{"a", "a.b", "b.b.a"}},
		{"a.*.c", []string{"a.b.c", "a..c"}, []string{"a.c", "a.b.b.c"}},
		{"a..b", []string{"a..b"}, []string{"a.b", "a.x.b", "a...b"}},
		{".", []string{"."}, []string{"", "a", "a.", ".."}},
		{".a", []string{".a"}, []string{"a", "..a"}},
		{"#", []string{"", "a", "a.b", ".", "...", "a.b.c.d.e"}, nil},
		{"a.#", []string{"a", "a.b", "a.b.c", "a."}, []string{"", "b", "b.a", "aa"}},
		{"#.a", []string{"a", "b.a", "a.a", ".a", "x.y.a"}, []string{"", "a.b", "aa"}},
		{"a.#.b", []string{"a.b", "a.x.b", "a.x.y.b", "a.b.b", "a..b"}, []string{"a", "b", "a.b.c", "b.b"}},
		{"#.a.#", []string{"a", "a.b", "b.a", "x.a.y", "a.a.a"}, []string{"", "b", "b.c", "aa"}},
		{"#.#", []string{"", "a", "a.b"}, nil},
		{"a.#.#", []string{"a", "a.b"}, []string{"", "b"}},
		{"*.#", []string{"a", "a.b", ".", "a."}, []string{""}},
		{"#.*", []string{"a", "a.b", "."}, []string{""}},
		{"#.*.#", []string{"a", "a.b", "a.b.c"}, []string{""}},
		{"*.#.b", []string{"a.b", "a.x.b", "b.b"}, []string{"b", "a.b.c"}},
		{"#.a.*", []string{"a.b", "x.a.b", "a.a"}, []string{"a", "a.b.c"}},
		{"#.a.#.b", []string{"a.b", "x.a.y.b", "a.b.a.b", "a.a.b.b"}, []string{"a", "b", "b.a", "a.b.c"}},
		{"ab*", []string{"ab*"}, []string{"abc", "ab", "ab.c"}},
		{"a#", []string{"a#"}, []string{"a", "a.b", "ab"}},
		{"**", []string{"**"}, []string{"a", "ab", "a.b"}},
		{"##", []string{"##"}, []string{"", "a"}},
		{"a.b*.c", []string{"a.b*.c"}, []string{"a.bc.c"}},
		{"ä.*.\xff", []string{"ä.b.\xff"}, []string{"a.b.\xff"}},
	} {
		x := empty(t, "topic").With(prepared(t, "topic", c.pattern, "q", nil))
		for _, key := range c.matching {
			if len(names(x, &Message{Key: key})) != 1 || !slowTopic(c.pattern, key) {
				t.Errorf("%q does not match %q", c.pattern, key)
			}
		}
		for _, key := range c.others {
			if len(names(x, &Message{Key: key})) != 0 || slowTopic(c.pattern, key) {
				t.Errorf("%q matches %q", c.pattern, key)
			}
		}
	}
}

func TestMoreThanTwoHashesAreRefused(t *testing.T) {
	for key, count := range map[string]int{"#.#.#": 3, "a.#.b.#.c.#": 3, "#.#.#.#": 4, "a.#.#.#": 3} {
		refusal := kind(t, "topic").Prepare(&Binding{Key: key, Target: &Target{}})
		want := fmt.Sprintf("PRECONDITION_FAILED - Topic binding key '%s' uses %d '#' wildcards, at most 2 are allowed", key, count)
		if refusal == nil || refusal.ReplyText() != want {
			t.Errorf("%q: got %v, want %s", key, refusal, want)
		}
	}
	for _, key := range []string{"#.#", "#.a.#", "a#.b#.c#.##", "#"} {
		if refusal := kind(t, "topic").Prepare(&Binding{Key: key, Target: &Target{}}); refusal != nil {
			t.Errorf("%q: %v", key, refusal)
		}
	}
}

// TestTopicIsTheSlowMatcher compares the trie, with many patterns in it, with the definition.
func TestTopicIsTheSlowMatcher(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		x := empty(t, "topic")
		patterns := map[string]string{}
		var bound []*Binding
		for i := range 1 + random.IntN(60) {
			pattern := randomWords(random, []string{"a", "b", "c", "", "*", "*", "#", "#"}, 5)
			if countHashes(pattern) > topicHashMax {
				continue
			}
			name := fmt.Sprintf("q%d", i)
			b := prepared(t, "topic", pattern, name, nil)
			x = x.With(b)
			if random.IntN(4) == 0 {
				x = x.Without(b)
				continue
			}
			patterns[name] = pattern
			bound = append(bound, b)
		}
		for range 40 {
			key := randomWords(random, []string{"a", "b", "c", ""}, 6)
			var want []string
			for name, pattern := range patterns {
				if slowTopic(pattern, key) {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			if got := names(x, &Message{Key: key}); !slices.Equal(got, want) {
				t.Fatalf("key %q of %q: got %q, want %q", key, patterns, got, want)
			}
		}
		for _, b := range bound {
			x = x.Without(b)
		}
		if rest := x.(*topic).root; rest.orNil() != nil {
			t.Fatalf("bindings are gone, but nodes are left: %+v", rest)
		}
	}
}

func randomWords(random *rand.Rand, alphabet []string, most int) string {
	list := make([]string, random.IntN(most+1))
	for i := range list {
		list[i] = alphabet[random.IntN(len(alphabet))]
	}
	return strings.Join(list, ".")
}

// manyTopics is an index with n patterns of a usual kind: most name a device, one in a hundred has wildcards.
func manyTopics(t testing.TB, n int) Index {
	x := empty(t, "topic")
	for i := range n {
		x = x.With(prepared(t, "topic", manyTopic(i), "q", nil))
	}
	return x
}

func manyTopic(i int) string {
	switch {
	case i%200 == 100:
		return fmt.Sprintf("site%d.*.reading", i%100)
	case i%200 == 0:
		return fmt.Sprintf("site%d.device%d.#", i%100, i)
	}
	return fmt.Sprintf("site%d.device%d.reading", i%100, i)
}

// perCall is how long a call takes, on average of many.
func perCall(calls int, f func(i int)) time.Duration {
	start := time.Now()
	for i := range calls {
		f(i)
	}
	return time.Since(start) / time.Duration(calls)
}

// BenchmarkTopicMatch publishes to one topic exchange with ten, and with a hundred thousand bindings. The metric
// x-of-10 is how many times longer the latter takes.
func BenchmarkTopicMatch(b *testing.B) {
	few := manyTopics(b, 10)
	visit := func(*Target) {}
	match := func(x Index) func(i int) {
		return func(i int) { x.Match(&Message{Key: manyTopicKeys[i%len(manyTopicKeys)]}, visit) }
	}
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := manyTopics(b, n)
			runtime.GC()
			ten := perCall(1_000_000, match(few))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				match(x)(i)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(max(ten.Nanoseconds(), 1)), "x-of-10")
		})
	}
}

var manyTopicKeys = func() []string {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = strings.NewReplacer("*", "device7", "#", "reading").Replace(manyTopic(i * 7))
	}
	return keys
}()

// BenchmarkTopicBind adds the hundred-thousandth binding.
func BenchmarkTopicBind(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := manyTopics(b, n-1)
			last := prepared(b, "topic", "site7.device.new", "q", nil)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				x.With(last)
			}
		})
	}
}

// BenchmarkTopicBomb matches the dearest patterns there may be against the longest key.
func BenchmarkTopicBomb(b *testing.B) {
	var stairs []string
	for n := range 120 {
		stairs = append(stairs, "#."+strings.Repeat("*.", n)+"#.x")
	}
	for _, c := range []struct {
		name     string
		patterns []string
	}{
		{"four", []string{"#.#.x", "#.*.#.x", "#.a.#.x", "#.a.*.#.x"}},
		{"stairs", stairs},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := empty(b, "topic")
			for _, pattern := range c.patterns {
				x = x.With(prepared(b, "topic", pattern, "q", nil))
			}
			key := strings.Repeat("a.", 127) + "a"
			for range b.N {
				x.Match(&Message{Key: key}, func(*Target) {})
			}
		})
	}
}
