/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest-nested.S - the code that L2 runs, and the code by which L1 enters L2.
 */
#include "guest.h"

	.section .note.GNU-stack, "", @progbits

/*
 * L2: R8 times the instruction, then back to L1 by a hypercall, whichever this
 * machine has (R9 != 0: SVM). Touches RAX RBX RCX RDX R8 only.
 */
	.text
	.globl	l2_cpuid, l2_out, l2_leaf
l2_cpuid:
	xorl	%eax, %eax
	xorl	%ecx, %ecx
	cpuid
	decl	%r8d
	jnz	l2_cpuid
	jmp	l2_end
l2_out:
	movq	%dr7, %rax		/* one exit after each other exit */
	movb	$0xff, %al
	outb	%al, $PORT_KERNEL
	decl	%r8d
	jnz	l2_out
	jmp	l2_end
l2_leaf:
	cpuid
l2_end:
	testq	%r9, %r9
	jnz	1f
	vmcall
1:	vmmcall

/*
 * int vmx_enter(struct regs *rdi, bool launch), void svm_enter(struct regs *rdi,
 * vmcb): run L2 with these registers until its next exit, and store them.
 * vmx_enter returns 1 when the entry failed. SVM keeps RAX in the VMCB.
 */
	.globl	vmx_enter, svm_enter
	.macro	LOAD_L2
	movq	8(%rdi), %rbx
	movq	16(%rdi), %rcx
	movq	24(%rdi), %rdx
	movq	32(%rdi), %r8
	movq	40(%rdi), %r9
	.endm
	.macro	STORE_L2
	movq	%rbx, 8(%rdi)
	movq	%rcx, 16(%rdi)
	movq	%rdx, 24(%rdi)
	movq	%r8, 32(%rdi)
	.endm
vmx_enter:
	pushq	%rbx
	pushq	%rdi
	movl	$0x6c14, %eax		/* host RSP, RIP */
	vmwrite	%rsp, %rax
	leaq	2f(%rip), %rcx
	movl	$0x6c16, %eax
	vmwrite	%rcx, %rax
	movq	(%rdi), %rax
	LOAD_L2
	testl	%esi, %esi
	jz	1f
	vmlaunch
	jmp	3f
1:	vmresume
	jmp	3f
2:	popq	%rdi
	movq	%rax, (%rdi)
	STORE_L2
	popq	%rbx
	xorl	%eax, %eax
	ret
3:	popq	%rdi
	popq	%rbx
	movl	$1, %eax
	ret
svm_enter:
	pushq	%rbx
	pushq	%rdi
	movq	%rsi, %rax
	LOAD_L2
	vmrun	%rax
	popq	%rdi
	STORE_L2
	popq	%rbx
	ret
