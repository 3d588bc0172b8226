/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.S - interrupts and exceptions of the guest in long mode.
 */
#include "guest.h"

	.section .note.GNU-stack, "", @progbits

/*
 * Long mode. GS points to struct guest. Exceptions have a stack of their own (IST1), so they may
 * come in any code at any privilege level. Interrupts have none: see below.
 */
	.text
	.code64

	.macro	VECTOR n
vector\n:
	.if	\n != 8 && (\n < 10 || \n > 14) && \n != 17 && \n != 21
	pushq	$0
	.endif
	pushq	$\n
	jmp	fault
	.endm

	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	VECTOR	\n
	.endr

/* #UD and #GP skip the instruction when the step allows; the rest is fatal. */
fault:
	pushq	%rax
	cmpl	$6, 8(%rsp)
	je	1f
	cmpl	$13, 8(%rsp)
	jne	panic
1:	movl	%gs:G_SKIP, %eax
	testl	%eax, %eax
	jz	panic
	addq	%rax, 24(%rsp)
	incq	%gs:G_FAULTS
	popq	%rax
	addq	$16, %rsp
	iretq
panic:
	movl	24(%rsp), %eax		/* RIP below 16 MiB, vector on top */
	movl	8(%rsp), %ecx
	shll	$24, %ecx
	orl	%ecx, %eax
	movl	$PORT_PANIC, %edx
	outl	%eax, %dx
	hlt

/*
 * Counted. An interrupt taken before the HLT it was to end would leave the guest
 * halted for good: QEMU's TCG loses the shadow of STI when an exit comes between
 * the two. So that HLT is skipped, and counted as early.
 *
 * QEMU forgets to clear the number of an interrupt that VMRUN injects. If it then stops the CPU
 * for something else, it takes the interrupt once more, in here. That one is not counted. With a
 * stack of its own, it would overwrite where the first one returns to.
 */
interrupt:
	pushq	%rax
	leaq	interrupt(%rip), %rax
	cmpq	%rax, 8(%rsp)
	jb	1f
	leaq	guest_halt(%rip), %rax
	cmpq	%rax, 8(%rsp)
	jae	1f
	popq	%rax
	iretq
1:
	pushq	%rcx
	pushq	%rdx
	incq	%gs:G_TICKS
	leaq	halt_insn(%rip), %rax
	cmpq	%rax, 24(%rsp)
	jne	1f
	incq	24(%rsp)
	incq	%gs:G_EARLY
1:
	movl	$0x80b, %ecx		/* x2APIC EOI */
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

	.globl	guest_halt
guest_halt:
	sti
halt_insn:
	hlt
	cli
	ret

	.section .rodata
	.balign	8
	.globl	guest_vectors
guest_vectors:
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	.quad	vector\n
	.endr
	.quad	interrupt
	.quad	interrupt
