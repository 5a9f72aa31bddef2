// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func read() uint64
TEXT ·read(SB), NOSPLIT, $0-8
	LFENCE
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET
