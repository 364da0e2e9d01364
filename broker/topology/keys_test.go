package topology

import (
	"slices"
	"strings"
	"testing"
)

// hostile are names that could be taken for structure.
var hostile = []string{
	"", "/", "//", "%", "%2F", "%2f", "a/b", "a%b", "%zz", "\x00", "a\x00b", "+", " ", "a b", "..", ".", "?", "#", "&=", "~", "ä€𝄞", "\xff\xfe",
	"\x7f", "\r\n", strings.Repeat("ä", 127), "q", "x", "binding", "vhost/%2F",
}

func TestKeysOfHostileNames(t *testing.T) {
	seen := map[string][]string{}
	check := func(names ...string) {
		t.Helper()
		k := key(sectionBinding, names...)
		section, got := splitKey(k)
		if section != sectionBinding || !slices.Equal(got, names) {
			t.Errorf("%q became %q became %q", names, k, got)
		}
		if have, twice := seen[k]; twice && !slices.Equal(have, names) {
			t.Errorf("%q and %q have the same key %q", have, names, k)
		}
		seen[k] = slices.Clone(names)
	}
	for _, a := range hostile {
		check(a)
		for _, b := range hostile {
			check(a, b)
			check(a, b, a)
		}
	}
}

func FuzzKeys(f *testing.F) {
	for _, a := range hostile {
		f.Add(a, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if section, got := splitKey(key(sectionQueue, a, b)); section != sectionQueue || !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q, %q: %q", a, b, got)
		}
		splitKey(a) // anything
		if pair(a, b) == pair(a+"\x00", b) || pair(a, b) == pair(a, b+"\x00") || pair(a, "\x00"+b) == pair(a+"\x00", b) {
			t.Errorf("%q, %q run together", a, b)
		}
	})
}

// TestObjectsOfHostileNames are found, bound, deleted, and the same after a restart.
func TestObjectsOfHostileNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range hostile {
		if CleanName(name) == "" {
			continue
		}
		w.exchange("x"+name, "topic")
		w.queue("q" + name)
		w.bind(to("x"+name, "q"+name, name, "/%\x00", name), toX("x"+name, "x"+name, name))
		_, err := w.PutVHost(ctx, name, nil, nil)
		w.must(err)
		_, err = w.PutUser(ctx, name, func(r *UserRecord) error { r.PasswordHash = name; return nil }, nil)
		w.must(err)
		_, err = w.PutPermission(ctx, name, name, "a", "b", "c", nil)
		w.must(err)
		for _, other := range []string{"a", "\x00", "a\x00b", "b"} {
			w.write(key(sectionTopic, "/", name, other), `{"write":"^w$","read":"^r$"}`)
			w.write(key(sectionParameter, "/", name, other), `{}`)
		}
		w.write(key(sectionGlobal, name), `{}`)
		w.write(key(sectionPolicy, "/", name), `{"pattern":"^none$","apply-to":"all","definition":{"max-length":1}}`)
	}
	if before, after := dump(w.Catalog()), dump(w.restarted()); before != after {
		t.Errorf("after a restart:\n%s\nbefore:\n%s", after, before)
	}
	for _, name := range hostile {
		if clean := CleanName(name); clean != "" {
			if w.vhost().Queue("q"+clean) == nil || w.vhost().Exchange("x"+clean) == nil || w.Catalog().VHost(name) == nil || w.Catalog().User(name) == nil {
				t.Errorf("%q is not found", name)
			}
			w.must(w.DeleteQueue(ctx, "/", "q"+clean, 0, nil))
			w.must(w.DeleteExchange(ctx, "/", "x"+name, false, &actor{}, nil))
			_, err := w.DeleteUser(ctx, name, nil)
			w.must(err)
			if name != "/" {
				_, err = w.DeleteVHost(ctx, name, nil)
				w.must(err)
			}
		}
	}
	for k := range w.disk {
		if section, _ := splitKey(k); section == sectionQueue || section == sectionBinding || section == sectionUser || section == sectionPermission || section == sectionTopic {
			t.Errorf("%q is left", k)
		}
	}
}
