// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// patchCode has the kernel change its own code, again and again, while all CPUs execute it: the tracepoints of the scheduler
// and of signals are switched on and off as programs come and go.
func patchCode(d time.Duration) error {
	const tracing = "/sys/kernel/tracing"
	if err := syscall.Mount("tracefs", tracing, "tracefs", 0, ""); err != nil && err != syscall.EBUSY {
		return fmt.Errorf("mount tracefs: %w", err)
	}
	end := time.Now().Add(d)
	var forks sync.WaitGroup
	for range 4 {
		forks.Go(func() {
			for time.Now().Before(end) {
				_ = exec.Command("/proc/self/exe", "nothing").Run()
			}
		})
	}
	defer forks.Wait()
	changes := 0
	for ; time.Now().Before(end); changes++ {
		for _, events := range []string{"sched", "signal"} {
			if err := os.WriteFile(tracing+"/events/"+events+"/enable", []byte{"10"[changes%2]}, 0); err != nil {
				return err
			}
		}
	}
	fmt.Println("switched", changes, "times")
	return nil
}
