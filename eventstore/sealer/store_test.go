package sealer_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sealer/sealertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		sealertest.Run(t, func(*testing.T) sealer.Store { return sealer.NewMemory() })
	})
	t.Run("proof.db", func(t *testing.T) {
		sealertest.Run(t, func(t *testing.T) sealer.Store { return sealer.OpenProof(t, t.TempDir()) })
	})
	t.Run("shared", func(t *testing.T) {
		sealertest.Run(t, func(t *testing.T) sealer.Store { return sealer.OpenShared(t, t.TempDir(), memstore.NewSide()) })
	})
}
