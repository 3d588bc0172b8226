/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest-legacy.S - the guests without long mode: the same small interpreter of steps
 * once in 16 and once in 32 bits. The monitor copies them to BLOB.
 */
#include "guest.h"

	.section .note.GNU-stack, "", @progbits

/*
 * The interpreter. DS and SS begin at struct guest, so its offsets are
 * addresses in both modes. EBP: the step, EDI: its result, ESI: what is left.
 */
	.macro	INTERPRETER bits
	.section .rodata
	.code\bits
	.globl	blob\bits, blob\bits\()_end
blob\bits:
start\bits:
	movl	$0, G_NLEAVES
	movl	$G_STEP, %ebp
	movl	$G_RESULT, %edi
step\bits:
	cmpl	$OP_END, %ds:(%ebp)
	je	done\bits
	movl	%ds:4(%ebp), %esi
	testl	%esi, %esi
	jz	next\bits
	movl	%ds:16(%ebp), %eax
	movl	%eax, G_SKIP
	movl	%ds:8(%ebp), %eax
	cmpl	$1, %eax		/* 0: the seed is 1 */
	adcl	$0, %eax
	movl	%eax, G_SEED
again\bits:
	rdtsc
	movl	%eax, G_T0
	movl	%edx, G_T0 + 4
	movl	%ds:(%ebp), %ebx
	movl	%ds:8(%ebp), %eax
	movl	%ds:12(%ebp), %ecx
	cmpl	$OP_CPUID, %ebx
	je	cpuid\bits
	cmpl	$OP_LEAF, %ebx
	je	leaf\bits
	cmpl	$OP_OUT, %ebx
	je	out\bits
	cmpl	$OP_RDMSR, %ebx
	je	rdmsr\bits
	cmpl	$OP_WRMSR, %ebx
	je	wrmsr\bits
	cmpl	$OP_HYPERCALL, %ebx
	je	hypercall\bits
	cmpl	$OP_HLT_USER, %ebx
	je	hlt\bits
	cmpl	$OP_RANDOM, %ebx
	je	random\bits
	movl	$PORT_PANIC, %edx
	outl	%eax, %dx
	hlt

cpuid\bits:
	cpuid
	jmp	timed\bits
out\bits:
	movl	%eax, %edx
	movl	%ecx, %eax
	outb	%al, %dx
	jmp	timed\bits
rdmsr\bits:
	movl	%eax, %ecx
	rdmsr
	jmp	timed\bits
wrmsr\bits:
	xchgl	%eax, %ecx
	xorl	%edx, %edx
	wrmsr
	jmp	timed\bits
hypercall\bits:
	movl	$1, %eax		/* KVM_HC_VAPIC_POLL_IRQ: does nothing */
	cmpl	$0, G_SVM
	jne	1f
	vmcall
	jmp	timed\bits
1:	vmmcall
	jmp	timed\bits
hlt\bits:
	hlt
	jmp	timed\bits

/* As random_leaves() in guest.c; what was asked and answered in memory. */
random\bits:
	call	seed\bits
	movl	%eax, %ebx
	movl	%eax, %ecx
	shrl	$1, %ecx
	andl	$3, %ecx
	addl	$0x4ffffffc, %ecx
	testb	$1, %bl
	jnz	1f
	call	seed\bits
	movl	%eax, %ecx
1:	movl	%ecx, G_ASKED
	movl	%ebx, %ecx
	shrl	$4, %ecx
	andl	$127, %ecx
	testb	$8, %bl
	jnz	2f
	call	seed\bits
	movl	%eax, %ecx
2:	movl	%ecx, G_ASKED + 4
	movl	G_FAULTS, %eax
	movl	%eax, G_FAULTS_BEFORE
	movl	G_ASKED, %eax
	movl	$0xdeadbeef, %ebx
	movl	%ebx, %edx
	cpuid
	movl	%eax, G_ANSWER
	movl	%ebx, G_ANSWER + 4
	movl	%ecx, G_ANSWER + 8
	movl	%edx, G_ANSWER + 12

	movl	$G_ANSWER, %ebx		/* digest(): times 2^40 + 0x1b3 */
3:	movl	G_DIGEST, %ecx
	xorl	(%ebx), %ecx
	movl	$0x1b3, %eax
	mull	%ecx
	movl	%eax, G_DIGEST
	imull	$0x1b3, G_DIGEST + 4, %eax
	addl	%edx, %eax
	shll	$8, %ecx
	addl	%ecx, %eax
	movl	%eax, G_DIGEST + 4
	addl	$4, %ebx
	cmpl	$G_ANSWER + 16, %ebx
	jne	3b

	movl	G_FAULTS_BEFORE, %eax
	cmpl	G_FAULTS, %eax
	movl	G_ANSWER, %eax		/* (flags stay) */
	movl	G_ANSWER + 4, %ebx
	movl	G_ANSWER + 8, %ecx
	movl	G_ANSWER + 12, %edx
	je	5f
	cmpl	G_ASKED, %eax		/* touched() */
	jne	8f
	cmpl	G_ASKED + 4, %ecx
	jne	8f
	cmpl	$0xdeadbeef, %ebx
	jne	8f
	cmpl	%ebx, %edx
	jne	8f
	jmp	timed\bits
5:	cmpl	$0x4ffffffc, G_ASKED	/* bad_answer() */
	jb	timed\bits
	cmpl	$0x4fffffff, G_ASKED
	ja	timed\bits
	cmpl	$-1, %edx
	jne	6f
	cmpl	$0x4ffffffe, G_ASKED
	jae	8f
	orl	%ebx, %eax
	orl	%ecx, %eax
	jnz	8f
	jmp	timed\bits
6:	testl	%edx, %edx
	jnz	8f
	testb	$1, G_ASKED
	jnz	7f
	xorl	%ebx, %ebx
7:	cmpl	%ebx, %eax
	jne	8f
	cmpl	$0x4ffffffe, G_ASKED
	jae	timed\bits
	cmpl	$0xfffffffe, G_ASKED + 4
	jne	timed\bits
8:	incl	G_BAD
	jmp	timed\bits

seed\bits:				/* next_random(): to EAX; EDX is lost */
	movl	G_SEED, %eax
	movl	%eax, %edx
	shll	$13, %edx
	xorl	%edx, %eax
	movl	%eax, %edx
	shrl	$17, %edx
	xorl	%edx, %eax
	movl	%eax, %edx
	shll	$5, %edx
	xorl	%edx, %eax
	movl	%eax, G_SEED
	ret

leaf\bits:				/* entry NLEAVES++, ECX = b + done */
	addl	%ds:4(%ebp), %ecx
	subl	%esi, %ecx
	imull	$40, G_NLEAVES, %ebx
	addl	$G_LEAF, %ebx
	movl	%eax, (%ebx)
	movl	%ecx, 4(%ebx)
	pushl	%ebx
	movl	$0xdeadbeef, %ebx
	movl	$0xdeadbeef, %edx
	cpuid
	xchgl	%ebx, %ss:(%esp)
	movl	%eax, 8(%ebx)
	movl	%ecx, 24(%ebx)
	movl	%edx, 32(%ebx)
	popl	%eax
	movl	%eax, 16(%ebx)
	incl	G_NLEAVES

timed\bits:
	rdtsc
	subl	G_T0, %eax
	sbbl	G_T0 + 4, %edx
	addl	$1, (%edi)
	adcl	$0, 4(%edi)
	addl	%eax, 8(%edi)
	adcl	%edx, 12(%edi)
	cmpl	20(%edi), %edx		/* min, 64 bits */
	ja	2f
	jb	1f
	cmpl	16(%edi), %eax
	jae	2f
1:	movl	%eax, 16(%edi)
	movl	%edx, 20(%edi)
2:	cmpl	28(%edi), %edx		/* max */
	jb	4f
	ja	3f
	cmpl	24(%edi), %eax
	jbe	4f
3:	movl	%eax, 24(%edi)
	movl	%edx, 28(%edi)
4:	decl	%esi
	jnz	again\bits
next\bits:
	addl	$32, %ebp
	addl	$32, %edi
	jmp	step\bits
done\bits:
	movl	$PORT_DONE, %edx
	outl	%eax, %dx
	jmp	start\bits
	.if	\bits == 32
	.globl	blob32_fault
blob32_fault:				/* #GP: as fault in long mode; the same ring */
	pushl	%eax
	movl	G_SKIP, %eax
	addl	%eax, 8(%esp)
	incl	G_FAULTS
	popl	%eax
	addl	$4, %esp
	iretl
	.endif
blob\bits\()_end:
	.endm

	INTERPRETER 16
	INTERPRETER 32
