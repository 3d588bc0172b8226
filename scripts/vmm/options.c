// SPDX-License-Identifier: GPL-2.0-only
/*
 * options.c - vmm's command line.
 */
#include <err.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "monitor.h"

struct opt opt = { .vms = 1, .vcpus = 1, .irqchip = true, .rounds = 1 };

static const char *const modes[] = { "long", "protected", "real", "bigreal" };
static const char *const mode_help = "long|protected|real|bigreal";

static void usage(FILE *out)
{
	fprintf(out, "Usage: vmm [OPTION]... STEP[:PARAMETER]=COUNT... [/ STEP...]...\n"
		"Run a guest that makes known exits, and print what it made. Scripts after a / are\n"
		"for the next vCPU each, and round again.\n\n"
		"  --after COMMAND   run in a shell when the guests have ended, the VMs still there\n"
		"  --at COMMAND      at each step `shell`; VMM_AT is 1, 2, ...\n"
		"  --bad-entry       a guest state that the processor refuses to enter, twice\n"
		"  --before COMMAND  the same before they start (VMM_DIRS names the VMs' folders)\n"
		"  --cpuid-fault     CPUID above ring 0 is #GP, which the guest skips\n"
		"  --done-mmio       report the end of the script by MMIO, not by OUT\n"
		"  --entry LEAF,EAX,EBX,ECX,EDX  a CPUID entry of user space\n"
		"  --fail            first let KVM_CREATE_VCPU fail at each of its allocations, in turn\n"
		"  --high-ids        vCPUs have the highest numbers that there are, from the top\n"
		"  --hold            keep the VMs until standard input ends or SIGTERM comes\n"
		"  --late            create all vCPUs but the first while those before them run\n"
		"  --loop N          the script N times; 0: until SIGTERM\n"
		"  --migrate         keep moving the vCPUs' threads between CPUs\n"
		"  --mode MODE       %s\n"
		"  --no-irqchip      no interrupt controller in the kernel\n"
		"  --page-hog MS     who sends a page late (--page-in) then keeps the CPU for MS, above all\n"
		"  --page-in MS      a page that nobody has touched comes after MS\n"
		"  --pin             vCPU n on CPU n\n"
		"  --populate        pages that nobody has touched are there from the start\n"
		"  --quiet           print no results\n"
		"  --ring N          privilege level, 0 to 3\n"
		"  --set TEXT        for the step `set`, N being 0 for the first\n"
		"  --spare N         more vCPUs, that never run\n"
		"  --stats           KVM's binary statistics\n"
		"  --taken           last create a vCPU whose number is taken, which fails\n"
		"  --together        all VMs at once, not one after another\n"
		"  --tsc PERCENT     of the host's frequency, at which the guests' TSC runs\n"
		"  --vcpus N         in each VM, all run the script\n"
		"  --vms N\n"
		"  --wait-elsewhere  `wait-uninit` first runs the command of --at, with VMM_AT=0, and another\n"
		"                    thread has the wait\n\nSteps:\n", mode_help);
	for (int i = 0; ops[i].name; i++)
		fprintf(out, "  %-16s  %s\n", ops[i].name, ops[i].help);
	fprintf(out, "  %-16s  %s\n", "leaves", "=ECX,A-B,... the account's four leaves, printed");
}

static __attribute__((noreturn)) void misuse(const char *what, const char *value)
{
	errx(EX_MISUSE, "%s: %s (see --help)", value, what);
}

static uint32_t parse_number(const char *text, uint32_t max)
{
	const char *s = text;
	uint32_t value;

	if (!number(&s, &value) || *s || value > max)
		misuse("not a number in range", text);
	return value;
}

static void parse_entry(const char *text)
{
	struct kvm_cpuid_entry2 *e = &opt.entry[opt.entries];
	uint32_t *field[] = { &e->function, &e->eax, &e->ebx, &e->ecx, &e->edx };
	const char *s = text;

	if (opt.entries++ == 8)
		misuse("more than 8 entries", text);
	for (int i = 0; i < 5; i++)
		if (!number(&s, field[i]) || *s++ != (i < 4 ? ',' : '\0'))
			misuse("not LEAF,EAX,EBX,ECX,EDX", text);
}

static void add_set(const char *text)
{
	if (opt.sets == MAX_SETS)
		misuse("more than 4", "--set");
	opt.set[opt.sets++] = text;
}

static enum mode parse_mode(const char *text)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(modes[i], text))
			return i;
	misuse("not a mode", text);
}

static void check_script(const struct script *script)
{
	for (int i = 0; i < script->steps; i++) {
		uint32_t op = script->step[i].op, step_needs = ops[script->op[i]].needs;
		const char *name = ops[script->op[i]].name;

		if (opt.mode != LONG && !(step_needs & ANY_MODE))
			misuse("needs --mode long", name);
		if (opt.mode == BIGREAL && op == OP_HYPERCALL)
			misuse("KVM cannot emulate it", name);
		if (opt.ring && !(step_needs & ANY_RING))
			misuse("needs --ring 0", name);
		if (op == OP_TRIPLE && (i != script->steps - 1 || opt.loop))
			misuse("ends the guest: the last step, once", name);
	}
}

static void check(void)
{
	for (int i = 0; i < nscripts; i++)
		check_script(&scripts[i]);
	if (needs & NO_IRQCHIP)
		opt.irqchip = false;
	if (needs & IRQCHIP && !opt.irqchip)
		misuse("one step needs the interrupt controller, another needs it away", "script");
	if (opt.mode >= REAL && opt.ring)
		misuse("real mode has no rings", "--ring");
	if (opt.mode >= REAL && opt.vcpus > MAX_REAL)
		misuse("at most 8 in real mode", "--vcpus");
	if (opt.mode != LONG && (opt.bad_entry || opt.done_mmio))
		misuse("--bad-entry and --done-mmio are for long mode", modes[opt.mode]);
	if ((uint64_t)fresh * opt.vcpus > 0x40000)
		misuse("more than 1 GiB of pages", "ept");
}

enum { O_AFTER, O_AT, O_BAD_ENTRY, O_BEFORE, O_CPUID_FAULT, O_DONE_MMIO, O_ENTRY, O_FAIL, O_HELP, O_HIGH_IDS, O_HOLD, O_LATE, O_LOOP, O_MIGRATE,
       O_MODE, O_NO_IRQCHIP, O_PAGE_HOG, O_PAGE_IN, O_PIN, O_POPULATE, O_QUIET, O_RING, O_SET, O_SPARE, O_STATS, O_TAKEN, O_TOGETHER, O_TSC, O_VCPUS, O_VMS, O_WAIT_ELSEWHERE };

static const struct option options[] = {
	{ "after", required_argument, NULL, O_AFTER },
	{ "at", required_argument, NULL, O_AT },
	{ "bad-entry", no_argument, NULL, O_BAD_ENTRY },
	{ "before", required_argument, NULL, O_BEFORE },
	{ "cpuid-fault", no_argument, NULL, O_CPUID_FAULT },
	{ "done-mmio", no_argument, NULL, O_DONE_MMIO },
	{ "entry", required_argument, NULL, O_ENTRY },
	{ "fail", no_argument, NULL, O_FAIL },
	{ "help", no_argument, NULL, O_HELP },
	{ "high-ids", no_argument, NULL, O_HIGH_IDS },
	{ "hold", no_argument, NULL, O_HOLD },
	{ "late", no_argument, NULL, O_LATE },
	{ "loop", required_argument, NULL, O_LOOP },
	{ "migrate", no_argument, NULL, O_MIGRATE },
	{ "mode", required_argument, NULL, O_MODE },
	{ "no-irqchip", no_argument, NULL, O_NO_IRQCHIP },
	{ "page-hog", required_argument, NULL, O_PAGE_HOG },
	{ "page-in", required_argument, NULL, O_PAGE_IN },
	{ "pin", no_argument, NULL, O_PIN },
	{ "populate", no_argument, NULL, O_POPULATE },
	{ "quiet", no_argument, NULL, O_QUIET },
	{ "ring", required_argument, NULL, O_RING },
	{ "set", required_argument, NULL, O_SET },
	{ "spare", required_argument, NULL, O_SPARE },
	{ "stats", no_argument, NULL, O_STATS },
	{ "taken", no_argument, NULL, O_TAKEN },
	{ "together", no_argument, NULL, O_TOGETHER },
	{ "tsc", required_argument, NULL, O_TSC },
	{ "vcpus", required_argument, NULL, O_VCPUS },
	{ "vms", required_argument, NULL, O_VMS },
	{ "wait-elsewhere", no_argument, NULL, O_WAIT_ELSEWHERE },
	{ }
};

void parse(int argc, char **argv)
{
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case O_AFTER:		opt.after = optarg; break;
		case O_AT:		opt.at = optarg; break;
		case O_BAD_ENTRY:	opt.bad_entry = true; break;
		case O_BEFORE:		opt.before = optarg; break;
		case O_CPUID_FAULT:	opt.cpuid_fault = true; break;
		case O_DONE_MMIO:	opt.done_mmio = true; break;
		case O_ENTRY:		parse_entry(optarg); break;
		case O_FAIL:		opt.fail = true; break;
		case O_HELP:		usage(stdout); exit(0);
		case O_HIGH_IDS:	opt.high_ids = true; break;
		case O_HOLD:		opt.hold = true; break;
		case O_LATE:		opt.late = true; break;
		case O_LOOP:		opt.rounds = parse_number(optarg, UINT32_MAX); opt.loop = true; break;
		case O_MIGRATE:		opt.migrate = true; break;
		case O_MODE:		opt.mode = parse_mode(optarg); break;
		case O_NO_IRQCHIP:	opt.irqchip = false; break;
		case O_PAGE_HOG:	opt.page_hog = parse_number(optarg, 10000); break;
		case O_PAGE_IN:		opt.page_in = parse_number(optarg, 10000); break;
		case O_PIN:		opt.pin = true; break;
		case O_POPULATE:	opt.populate = true; break;
		case O_QUIET:		opt.quiet = true; break;
		case O_RING:		opt.ring = parse_number(optarg, 3); break;
		case O_SET:		add_set(optarg); break;
		case O_SPARE:		opt.spare = parse_number(optarg, 4000); break;
		case O_STATS:		opt.stats = true; break;
		case O_TAKEN:		opt.taken = true; break;
		case O_TOGETHER:	opt.together = true; break;
		case O_TSC:		opt.tsc = parse_number(optarg, 1000); break;
		case O_VCPUS:		opt.vcpus = parse_number(optarg, MAX_VCPUS); break;
		case O_VMS:		opt.vms = parse_number(optarg, 1000000); break;
		case O_WAIT_ELSEWHERE:	opt.wait_elsewhere = true; break;
		default:		exit(EX_MISUSE);
		}
	}
	for (; optind < argc; optind++) {
		if (strcmp(argv[optind], "/")) {
			if (!parse_step(&scripts[nscripts - 1], argv[optind]))
				misuse("not a step", argv[optind]);
		} else if (nscripts++ == MAX_SCRIPTS) {
			misuse("more than 8 scripts", argv[optind]);
		}
	}
	if (!opt.vcpus || !opt.vms)
		misuse("at least 1", "--vcpus, --vms");
	check();
}
