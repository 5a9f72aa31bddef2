// SPDX-License-Identifier: Apache-2.0

//go:build ppc64 || ppc64le

#include "textflag.h"
#include "layout.h"

// func code() (loop, quit, crowd uintptr)
TEXT ·code(SB), NOSPLIT, $0-24
	MOVD $loop<>(SB), R3
	MOVD R3, loop+0(FP)
	MOVD $quit<>(SB), R3
	MOVD R3, quit+8(FP)
	MOVD $crowd<>(SB), R3
	MOVD R3, crowd+16(FP)
	RET

// The program, see Loop. A system call keeps R14 to R31; it sets the summary overflow bit of CR0 where it fails. There is
// no stack that could be used: a child may share it.
TEXT loop<>(SB), NOSPLIT|NOFRAME, $0-0
	XOR R0, R0 // the assembler counts on it, and the kernel starts a program with the number of execve in it
	MOVD $PARAMS, R14
	MOVD $TIMES, R15
	MOVD param_batches(R14), R16

clock:
	WORD $0x08005e71 // a mark, see package mark
	MOVD $1, R3   // CLOCK_MONOTONIC
	MOVD R15, R4
	SYSCALL $246  // clock_gettime
	ADD $16, R15
	CMP R16, $0
	BEQ done
	ADD $-1, R16
	MOVD $(TIMES+TIMES_SIZE), R18
	CMPU R15, R18
	BLT batch
	MOVD $1, R3
	MOVD $TIMES, R4
	MOVD $TIMES_SIZE, R5
	SYSCALL $4 // write
	BVS fail
	CMP R3, $TIMES_SIZE
	BNE fail
	MOVD $TIMES, R15

batch:
	MOVD param_ops(R14), R17

operation:
	MOVD param_flags(R14), R3
	MOVD $0, R4
	MOVD $0, R5
	MOVD $0, R6
	MOVD $0, R7
	SYSCALL $120 // clone
	BVS fail
	CMP R3, $0
	BEQ child
	MOVD R3, R18
	ADD $param_status, R14, R4
	MOVD $0x40000000, R5 // __WALL
	MOVD $0, R6
	SYSCALL $114 // wait4
	BVS fail
	CMP R3, R18
	BNE fail
	MOVWZ param_status(R14), R3
	CMP R3, $0
	BNE fail
	ADD $-1, R17
	CMP R17, $0
	BNE operation
	BR clock

child:
	MOVD param_path(R14), R3
	CMP R3, $0
	BEQ good
	ADD $param_argv, R14, R4
	ADD $param_envp, R14, R5
	SYSCALL $11 // execve
	BR fail

done:
	MOVD $1, R3
	MOVD $TIMES, R4
	SUB R4, R15, R5
	MOVD R5, R18
	SYSCALL $4 // write
	BVS fail
	CMP R3, R18
	BNE fail

good:
	MOVD $0, R3
	SYSCALL $1 // exit

fail:
	MOVD $1, R3
	SYSCALL $1 // exit
	WORD $END
	WORD $END

TEXT quit<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVD $0, R3
	SYSCALL $1 // exit
	WORD $END
	WORD $END

// The program, see Crowd. What it writes is at param_path.
TEXT crowd<>(SB), NOSPLIT|NOFRAME, $0-0
	XOR R0, R0 // as above
	MOVD $PARAMS, R14
	MOVD param_path(R14), R15
	MOVD param_batches(R14), R16

process:
	CMP R16, $0
	BEQ park
	ADD $-1, R16
	MOVD param_flags(R14), R3
	MOVD $0, R4
	MOVD $0, R5
	MOVD $0, R6
	MOVD $0, R7
	SYSCALL $120 // clone
	BVS failed
	CMP R3, $0
	BEQ member
	BR process

failed:
	MOVD $1, R3
	ADD $1, R15, R4
	MOVD $1, R5
	SYSCALL $4 // write
	BR process

member:
	MOVD param_ops(R14), R17

thread:
	ADD $-1, R17
	CMP R17, $0
	BEQ ready
	MOVD $THREAD, R3
	MOVD $0, R4
	MOVD $0, R5
	MOVD $0, R6
	MOVD $0, R7
	SYSCALL $120 // clone
	BVS few
	CMP R3, $0
	BEQ park
	BR thread

few:
	ADD $1, R15

ready:
	MOVD $1, R3
	MOVD R15, R4
	MOVD $1, R5
	SYSCALL $4 // write

park:
	SYSCALL $29 // pause
	BR park
	WORD $END
	WORD $END
