// SPDX-License-Identifier: GPL-2.0-only
/*
 * misbehave.c - a module for tests only: makes a mistake that a debug kernel must notice, one
 * for each load. Every kernel notices the last one, which ends the lab.
 *
 *	insmod misbehave.ko what=leak|freed|beyond|shift|recursion|sleep|
 *			    rcu|refcount|object|list|race|null
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static char *what = "";
module_param(what, charp, 0);

static volatile int sink;
static unsigned long shared;

static void leak(void)
{
	int i;

	/* Leak several objects: a register or the stack may still point to the last one. */
	for (i = 0; i < 16; i++)
		sink = !kmalloc(1234, GFP_KERNEL);
}

static void freed(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return;
	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	sink = *(volatile char *)p;
}

static void beyond(void)
{
	char *p = kmalloc(60, GFP_KERNEL);

	if (!p)
		return;
	OPTIMIZER_HIDE_VAR(p);
	sink = *(volatile char *)(p + 61);
	kfree(p);
}

static void shift(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	sink = 1 << by;
}

static DEFINE_SPINLOCK(first);

static void recursion(void)
{
	spinlock_t *locks = kmalloc_array(2, sizeof(*locks), GFP_KERNEL);
	int i;

	if (!locks)
		return;
	for (i = 0; i < 2; i++)		/* of one class */
		spin_lock_init(&locks[i]);
	spin_lock(&locks[0]);
	spin_lock(&locks[1]);
	spin_unlock(&locks[1]);
	spin_unlock(&locks[0]);
	kfree(locks);
}

static void sleep_in_atomic(void)
{
	spin_lock(&first);
	might_sleep();
	spin_unlock(&first);
}

static void rcu(void)
{
	static int __rcu *pointer;

	sink = !rcu_dereference(pointer);
}

static void refcount(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	sink = refcount_dec_and_test(&count);
	refcount_inc(&count);
}

static void never_runs(struct timer_list *timer)
{
}

static void object(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return;
	timer_setup(timer, never_runs, 0);
	mod_timer(timer, jiffies + 100 * HZ);
	kfree(timer);			/* while it is active */
}

static void list(void)
{
	LIST_HEAD(head);
	struct list_head a;

	list_add(&a, &head);
	list_add(&a, &head);
}

static int writes(void *unused)
{
	while (!kthread_should_stop()) {
		int i;

		for (i = 0; i < 100000; i++) {
			shared++;
			barrier();
		}
		cond_resched();
	}
	return 0;
}

static void race(void)
{
	struct task_struct *threads[2];
	int i;

	for (i = 0; i < 2; i++)
		threads[i] = kthread_run(writes, NULL, "race%d", i);
	msleep(5000);
	for (i = 0; i < 2; i++) {
		if (!IS_ERR(threads[i]))
			kthread_stop(threads[i]);
	}
}

static void null(void)
{
	int *p = NULL;

	OPTIMIZER_HIDE_VAR(p);
	sink = *(volatile int *)p;
}

static const struct {
	const char *name;
	void (*does)(void);
} all[] = {
	{ "leak", leak }, { "freed", freed }, { "beyond", beyond }, { "shift", shift },
	{ "recursion", recursion }, { "sleep", sleep_in_atomic },
	{ "rcu", rcu }, { "refcount", refcount }, { "object", object }, { "list", list },
	{ "race", race }, { "null", null },
};

static int __init misbehave_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		if (!strcmp(all[i].name, what)) {
			all[i].does();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(misbehave_init);

static void __exit misbehave_exit(void)
{
}
module_exit(misbehave_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Makes the mistakes that a debug kernel must notice");
