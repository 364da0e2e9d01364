package metrics

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzFilter: whatever a request asks for, the filter lets through what its words say, or the request is refused.
func FuzzFilter(f *testing.F) {
	f.Add("family=queue_coarse_metrics&family=queue_metrics&vhost=%2F&queue=%5Eq", "/", "q1")
	f.Add("queue=(&queue=b", "v", "b")
	f.Add("vhost=&family=&queue=%00&;=%zz", "", "\x00")
	f.Add("queue=(%3Fi)a%7B1000%7D", "v", "A")
	f.Fuzz(func(t *testing.T, query, vhost, queue string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		filter, err := readFilter(r)
		said := r.URL.Query()
		if err != nil {
			if patterns := said["queue"]; len(patterns) == 0 || len(patterns) == 1 && patterns[0] == "" {
				t.Errorf("%q is refused: %v", query, err)
			}
			return
		}
		for _, name := range said["family"] {
			if !filter.families[name] {
				t.Errorf("%q: the family %q is not asked for", query, name)
			}
		}
		if len(filter.families) > len(said["family"]) {
			t.Errorf("%q: families %v", query, filter.families)
		}
		named := len(said["vhost"]) == 0
		for _, name := range said["vhost"] {
			named = named || name == vhost
		}
		if filter.wants(vhost) != named {
			t.Errorf("%q: vhost %q is wanted: %v", query, vhost, filter.wants(vhost))
		}
		if filter.wantsQueue(vhost, queue) && !named {
			t.Errorf("%q: queue %q of %q, which is not asked for", query, queue, vhost)
		}
		if pattern := said.Get("queue"); pattern == "" && filter.wantsQueue(vhost, queue) != named {
			t.Errorf("%q leaves out queue %q", query, queue)
		}
	})
}
