//go:build !linux

package limits

// OpenFiles counts the process's open files, and the sockets among them, where that is known.
func OpenFiles() (files, sockets int) { return 0, 0 }

// OpenFilesMax is how many files the process may open, where that is known.
func OpenFilesMax() uint64 { return 0 }
