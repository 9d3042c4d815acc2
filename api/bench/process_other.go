//go:build !linux

package bench

import "os"

// flush makes a file's data durable.
func flush(f *os.File) error { return f.Sync() }

// bytesWritten, resident and filesystem are known on Linux only; rows that
// need them are left out elsewhere.

func bytesWritten() (uint64, bool) { return 0, false }

func resident() (uint64, bool) { return 0, false }

func filesystem(string) string { return "unknown file system" }
