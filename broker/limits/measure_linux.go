package limits

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// ResidentMemory gives the bytes of memory the process holds.
func ResidentMemory() (uint64, error) {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0, fmt.Errorf("unexpected content of /proc/self/statm: %q", data)
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// TotalMemory gives the memory of the machine, or of the process's control group if that is less.
func TotalMemory() (uint64, error) {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0, err
	}
	total := uint64(info.Totalram) * uint64(info.Unit)
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64); err == nil && limit < total {
			return limit, nil
		}
	}
	return total, nil
}

// DiskSpace gives the bytes free for us on the disk that holds a directory, and its size.
func DiskSpace(dir string) (free, total uint64, err error) {
	var info syscall.Statfs_t
	if err := syscall.Statfs(dir, &info); err != nil {
		return 0, 0, err
	}
	return info.Bavail * uint64(info.Bsize), info.Blocks * uint64(info.Bsize), nil
}
