package limits

import (
	"os"
	"strings"
	"syscall"
)

// OpenFiles counts the process's open files, and the sockets among them.
func OpenFiles() (files, sockets int) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, 0
	}
	defer dir.Close()
	names, err := dir.Readdirnames(0)
	if err != nil {
		return 0, 0
	}
	for _, name := range names {
		if to, err := os.Readlink("/proc/self/fd/" + name); err == nil && strings.HasPrefix(to, "socket:") {
			sockets++
		}
	}
	return len(names), sockets
}

// OpenFilesMax is how many files the process may open.
func OpenFilesMax() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}
