//go:build !linux

package main

// portHolder is known on Linux only.
func portHolder(string) (pid int, program string, ok bool) { return 0, "", false }
