package clustered

import (
	"context"
	"fmt"

	"github.com/warrenmq/warren/cluster/placement"
)

// renew lets a group begin anew that has lost most of its members: with what one node has, or, if survivor is 0, with nothing, on
// nodes that live. Nobody may be lost who lives, or answers.
func (n *Node) renew(ctx context.Context, group, survivor uint64, lost []uint64) error {
	v := n.registry.View()
	for _, id := range lost {
		if n.living.reachable(id) {
			return fmt.Errorf("node %d is not shown as living, and can be reached: stop it first", id)
		}
	}
	var first []uint64
	if survivor == 0 {
		if first = placement.Anew(v, placement.Wishes{Size: n.Size}, group); len(first) == 0 {
			return fmt.Errorf("no node lives that group %d could begin anew on", group)
		}
	}
	if err := n.registry.Renew(ctx, v, group, survivor, first, lost); err != nil {
		return err
	}
	what := "a group that has lost most of its members is to go on with what one node has: confirmed messages that only the others had are lost"
	if survivor == 0 {
		what = "a group of which nothing is left is to begin anew with nothing: its messages are lost"
	}
	n.Logger.Warn().Uint64("group", group).Uint64("kept", survivor).Uints64("lost", lost).Uints64("first", first).Msg(what)
	n.look()
	return nil
}
