package matching

import "github.com/benbjohnson/immutable"

// direct selects the bindings whose key equals the routing key.
type direct struct {
	byKey *immutable.Map[string, list]
}

func (x *direct) With(b *Binding) Index {
	byKey := x.byKey
	if byKey == nil {
		byKey = immutable.NewMap[string, list](nil)
	}
	same, _ := byKey.Get(b.Key)
	return &direct{byKey.Set(b.Key, same.with(b))}
}

func (x *direct) Without(b *Binding) Index {
	if x.byKey == nil {
		return x
	}
	same, ok := x.byKey.Get(b.Key)
	if !ok {
		return x
	}
	if same = same.without(b); same.count == 0 {
		return &direct{x.byKey.Delete(b.Key)}
	}
	return &direct{x.byKey.Set(b.Key, same)}
}

func (x *direct) Match(m *Message, visit func(*Target)) {
	if x.byKey == nil {
		return
	}
	if same, ok := x.byKey.Get(m.Key); ok {
		same.each(visit)
	}
}

func (x *direct) ByKey() bool { return true }
