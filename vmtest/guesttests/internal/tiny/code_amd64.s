// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"
#include "layout.h"

// func code() (loop, quit, crowd uintptr)
TEXT ·code(SB), NOSPLIT, $0-24
	LEAQ loop<>(SB), AX
	MOVQ AX, loop+0(FP)
	LEAQ quit<>(SB), AX
	MOVQ AX, quit+8(FP)
	LEAQ crowd<>(SB), AX
	MOVQ AX, crowd+16(FP)
	RET

// The program, see Loop. A system call keeps all registers but AX, CX and R11. There is no stack that could be used: a
// child may share it.
TEXT loop<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $PARAMS, BX
	MOVQ $TIMES, R12
	MOVQ param_batches(BX), R13

clock:
	BYTE $0x0f; BYTE $0x1f; BYTE $0x80; LONG $0x0b5e71e5 // a mark, see package mark
	MOVQ $228, AX // clock_gettime
	MOVQ $1, DI   // CLOCK_MONOTONIC
	MOVQ R12, SI
	SYSCALL
	ADDQ $16, R12
	TESTQ R13, R13
	JZ done
	DECQ R13
	CMPQ R12, $(TIMES+TIMES_SIZE)
	JB batch
	MOVQ $1, AX // write
	MOVQ $1, DI
	MOVQ $TIMES, SI
	MOVQ $TIMES_SIZE, DX
	SYSCALL
	CMPQ AX, DX
	JNE fail
	MOVQ $TIMES, R12

batch:
	MOVQ param_ops(BX), R15

operation:
	MOVQ $56, AX // clone
	MOVQ param_flags(BX), DI
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JZ child
	JS fail
	MOVQ AX, R8
	MOVQ AX, DI
	MOVQ $61, AX // wait4
	LEAQ param_status(BX), SI
	MOVQ $0x40000000, DX // __WALL
	XORL R10, R10
	SYSCALL
	CMPQ AX, R8
	JNE fail
	MOVL param_status(BX), AX
	TESTL AX, AX
	JNE fail
	DECQ R15
	JNZ operation
	JMP clock

child:
	MOVQ param_path(BX), DI
	TESTQ DI, DI
	JZ good
	MOVQ $59, AX // execve
	LEAQ param_argv(BX), SI
	LEAQ param_envp(BX), DX
	SYSCALL
	JMP fail

done:
	MOVQ $1, AX // write
	MOVQ $1, DI
	MOVQ $TIMES, SI
	MOVQ R12, DX
	SUBQ SI, DX
	SYSCALL
	CMPQ AX, DX
	JNE fail

good:
	XORL DI, DI
	MOVQ $60, AX // exit
	SYSCALL

fail:
	MOVQ $1, DI
	MOVQ $60, AX // exit
	SYSCALL
	BYTE $0x0f; BYTE $0x0b // ud2
	LONG $END
	LONG $END

TEXT quit<>(SB), NOSPLIT|NOFRAME, $0-0
	XORL DI, DI
	MOVQ $60, AX // exit
	SYSCALL
	LONG $END
	LONG $END

// The program, see Crowd. What it writes is at param_path.
TEXT crowd<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $PARAMS, BX
	MOVQ param_path(BX), R12
	MOVQ param_batches(BX), R13

process:
	TESTQ R13, R13
	JZ park
	DECQ R13
	MOVQ $56, AX // clone
	MOVQ param_flags(BX), DI
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JZ member
	JNS process
	LEAQ 1(R12), SI // failed
	MOVQ $1, AX     // write
	MOVQ $1, DI
	MOVQ $1, DX
	SYSCALL
	JMP process

member:
	MOVQ param_ops(BX), R15

thread:
	DECQ R15
	JZ ready
	MOVQ $56, AX // clone
	MOVQ $THREAD, DI
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JZ park
	JNS thread
	INCQ R12 // failed

ready:
	MOVQ R12, SI
	MOVQ $1, AX // write
	MOVQ $1, DI
	MOVQ $1, DX
	SYSCALL

park:
	MOVQ $34, AX // pause
	SYSCALL
	JMP park
	LONG $END
	LONG $END
