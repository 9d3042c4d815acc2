package sqlitestore

import "syscall"

// localFileSystem refuses network file systems: their locks and their
// write-ahead index shared by memory map do not hold. The numbers are from
// statfs(2).
func localFileSystem(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return refuse(ReasonIO, err)
	}
	for _, remote := range []struct {
		magic uint32
		name  string
	}{{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"}, {0x517b, "SMB"}, {0x01021997, "9P"}, {0x00c36400, "Ceph"}} {
		if uint32(fs.Type) == remote.magic {
			return refusef(ReasonDataDirUnsupported, "the directory is on %s; a local file system is needed", remote.name)
		}
	}
	return nil
}
