package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// flush makes a file's data durable.
func flush(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// bytesWritten is what this process has handed to write calls since it began.
// Pages SQLite writes count, its shared-memory index does not.
func bytesWritten() (uint64, bool) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(b) {
		if text, ok := bytes.CutPrefix(line, []byte("wchar: ")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// resident is the memory of this process that is in RAM, in bytes.
func resident() (uint64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err == nil
}

// filesystem names the kind of file system a directory is on.
func filesystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "unknown file system"
	}
	names := map[int64]string{
		0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: memoryFilesystem, 0x794C7630: "overlayfs", 0x2FC12FC1: "zfs",
	}
	if name, ok := names[int64(s.Type)]; ok { //nolint:unconvert // its type differs by architecture
		return name
	}
	return fmt.Sprintf("file system %#x", s.Type)
}
