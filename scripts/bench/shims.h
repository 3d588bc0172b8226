/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shims.h - the part of the kernel that the series' arch/x86/kvm/exit_cycles.h needs, so
 * that step.c can compile that header in user space. It is included first; the headers that
 * exit_cycles.h includes are empty files.
 *
 * The two static keys are always on: in the kernel such a key is a NOP, here it is nothing.
 */
#ifndef SHIMS_H
#define SHIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_KVM_EXIT_CYCLES		1

typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#undef __always_inline
#define __always_inline			inline __attribute__((always_inline))
#define ____cacheline_aligned		__attribute__((aligned(64)))
#define __aligned(n)			__attribute__((aligned(n)))
#define __read_mostly
#define likely(x)			__builtin_expect(!!(x), 1)
#define unlikely(x)			__builtin_expect(!!(x), 0)
#define barrier()			asm volatile("" : : : "memory")
#define READ_ONCE(x)			(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value)		(*(volatile __typeof__(x) *)&(x) = (value))
#define BIT_ULL(n)			(1ull << (n))
#define DECLARE_STATIC_KEY_TRUE(key)	extern int key
#define static_branch_likely(key)	1

typedef struct { s64 counter; } local64_t;

/* The same as in arch/x86/include/asm/local.h: one instruction, no lock prefix. */
static __always_inline void local64_inc(local64_t *l)
{
	asm volatile("incq %0" : "+m" (l->counter));
}

static __always_inline void local64_add(s64 i, local64_t *l)
{
	asm volatile("addq %1, %0" : "+m" (l->counter) : "er" (i));
}

static __always_inline u64 rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

struct list_head { struct list_head *next, *prev; };
struct rcu_head { struct rcu_head *next; void (*func)(struct rcu_head *head); };
struct mutex { long words[4]; };
typedef struct { long words[4]; } seqlock_t;
#define smp_load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
struct dentry;
struct kvm;
struct kvm_exit_cycles;
struct kvm_exit_cycles_row;
struct kvm_exit_cycles_key;
struct seq_file;
struct kvm_vcpu;

/* The structures that the series adds to kvm_host.h. */
struct kvm_exit_stamps {
	u64 exit;
	u64 start;
	u64 end;
	u64 entry;
	struct kvm_exit_cycles_row *row;
	struct kvm_exit_cycles_key *key;
	struct kvm_exit_cycles *account;
};

struct kvm_exit_scope {
	struct kvm *kvm;
	struct kvm_vcpu *vcpu;
};

struct kvm_vcpu {
	struct {
		struct kvm_exit_stamps exit_stamps;
	} arch;
};

typedef enum { EXIT_FASTPATH_NONE, EXIT_FASTPATH_REENTER_GUEST } fastpath_t;

#endif
