//go:build !unix

package main

import "time"

// cpuTime, freeSpace and watchMemory tell nothing on this system.
func cpuTime() time.Duration { return 0 }

func freeSpace(string) (bytes uint64, ok bool) { return 0, false }

func watchMemory() (peak func() int64) { return func() int64 { return 0 } }
