package main

import (
	"log/slog"
	"testing"
	"time"
)

// A newcomer types --data data, and a test elsewhere types an absolute path.
func TestStoresOpenInARelativeDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for range 2 {
		s, err := openStores(t.Context(), "data", time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
}
