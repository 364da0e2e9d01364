//go:build !linux

package management

// openFiles counts the process's open files, and the sockets among them, where that is known.
func openFiles() (files, sockets int) { return 0, 0 }

// openFilesMax is how many files the process may open, where that is known.
func openFilesMax() uint64 { return 0 }
