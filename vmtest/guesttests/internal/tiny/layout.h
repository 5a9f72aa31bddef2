// SPDX-License-Identifier: Apache-2.0

// Where the program finds things: tiny.go has the same numbers. The code is mapped at 0x10000 and what is written at
// 0x20000, so that they are in pages of their own whether a page is 4 KiB or 64 KiB.
#define PARAMS 0x20100
#define TIMES 0x21000
#define TIMES_SIZE 0x1000

#define param_batches 0
#define param_ops 8
#define param_flags 16
#define param_path 24
#define param_argv 32
#define param_envp 48
#define param_status 56

// CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_THREAD and CLONE_SYSVSEM.
#define THREAD 0x50f00

// Twice in a row, it ends the code; no instruction here looks like it.
#define END 0x5e71e50d
