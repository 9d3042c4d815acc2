package keyring

import (
	"context"
	"strings"
)

// changed evicts what a stream that was appended to or deleted was read for.
func (v *sideVault) changed(ctx context.Context, stream string) {
	switch {
	case strings.HasPrefix(stream, subjectPrefix):
		v.k.subjects.evict(stream)
	case strings.HasPrefix(stream, epochPrefix):
		v.k.epochs.evict(strings.TrimPrefix(stream, epochPrefix))
	case strings.HasPrefix(stream, signerPrefix):
		epoch, _, _ := strings.Cut(strings.TrimPrefix(stream, signerPrefix), "-")
		v.k.signers.evict(epoch)
	case stream == registerStream:
		v.k.current.clear()
		// So that a node without work follows a rotation, too. An error is met
		// again by the next call.
		if _, err := v.fresh(ctx); err == nil {
			_ = v.settle(ctx)
		}
	}
}
