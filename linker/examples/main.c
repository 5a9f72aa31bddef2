// SPDX-License-Identifier: GPL-2.0-only
/* The rest of a small stand-in for a kernel: what forms.c refers to. */
const char first[1] = { 1 }, last[1] = { 2 };

int elsewhere(unsigned long val, void *task)
{
	return val == 0 || !task;
}

void _start(void)
{
	elsewhere(0, 0);
}
