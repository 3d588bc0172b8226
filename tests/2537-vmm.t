#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: vmm fails if a command or its output fails, or if a vCPU that could not be created
# leaves a folder; it refuses what it cannot do with status 2; and its guests notice answers
# that break the rules of the leaves. The tests in labs rely on this. The test has stand-ins
# for KVM.
# shellcheck disable=SC2016 # another shell expands it
. "${BASH_SOURCE[0]%/*}/lib.sh"

VMM=$TOP/scripts/vmm
build() { gcc -std=gnu11 -O1 -w -I"$VMM" -o "$@" -pthread; }
run "$VMM/build.sh"
is 'build.sh: its usage, and 2' "$status:$out" '2:Usage: scripts/vmm/build.sh PROGRAM'
"$VMM/build.sh" "$T/vmm"

# --- the command line

# refused TITLE LINE ARGUMENT...
refused() {
	run timeout -s KILL 20 "$T/vmm" "${@:3}"
	is "refused: $1" "$status:$out:$err" "2::vmm: $2 (see --help)"
}
refused 'real mode has no rings' '--ring: real mode has no rings' --mode real --ring 3 cpuid=1
refused 'a range that ends before it begins' 'leaf:0x4ffffffd=9-2: not a step' leaf:0x4ffffffd=9-2
refused 'more leaves than there is room for' 'leaf:0=0-900: not a step' leaf:0=0-900
refused 'more pages than a guest can see, of all vCPUs together' 'ept: more than 1 GiB of pages' --vcpus 3 ept=100000
run timeout -s KILL 20 "$T/vmm" leaf:0=0-500 leaf:1=0-500
is 'refused: more leaves than there is room for, of all steps together' "$status:$out:$err" '2::vmm: more than 900 leaves to keep'
refused 'a step for ring 0' 'wrmsr-fast: needs --ring 0' --ring 3 wrmsr-fast=1
refused 'a step for long mode' 'ept: needs --mode long' --mode protected ept=1
refused 'too many real vCPUs' '--vcpus: at most 8 in real mode' --mode real --vcpus 9 cpuid=1
refused 'no vCPU' '--vcpus, --vms: at least 1' --vcpus 0 cpuid=1
refused 'no VM' '--vcpus, --vms: at least 1' --vms 0 cpuid=1
refused 'a count that is none' 'cpuid=-1: not a step' cpuid=-1
refused 'what is no step' 'cpu=1: not a step' cpu=1
refused 'no place after the end' 'triple: ends the guest: the last step, once' triple=1 cpuid=1
refused 'no place in a loop' 'triple: ends the guest: the last step, once' --loop 2 triple=1
entries=()
for ((i = 0; i < 9; i++)); do entries+=(--entry '1,0,0,0,0'); done
refused 'more entries than there is room for' '1,0,0,0,0: more than 8 entries' "${entries[@]}" cpuid=1
refused 'more scripts' '/: more than 8 scripts' cpuid=1 / cpuid=1 / cpuid=1 / cpuid=1 / cpuid=1 / cpuid=1 / cpuid=1 / cpuid=1 / cpuid=1
refused 'a count of more than 32 bits' 'cpuid=4294967297: not a step' cpuid=4294967297
refused 'no such ring' '4: not a number in range' --ring 4 cpuid=1
refused 'steps that need the interrupt controller, and need it away' 'script: one step needs the interrupt controller, another needs it away' hlt-user=1 hlt=1

# --- its status, with a VM that only prints

cat >"$T/monitor.c" <<'END'
#include "monitor.h"
#include <stdlib.h>
bool svm;
int call(int fd, unsigned long request, void *arg, const char *what) { return 0; }
void open_kvm(void) { }
static void *nothing(void *arg) { return NULL; }
void create_vm(struct vm *vm, int i) { vm->number = i; vm->vcpu = calloc(opt.vcpus, sizeof(*vm->vcpu)); }
void create_vcpu(struct vm *vm, int i) { }
void create_vcpus(struct vm *vm) { }
void destroy_vm(struct vm *vm) { free(vm->vcpu); }
void add_memory(struct vm *vm, int slot, uint64_t gpa, void *m, size_t size, int flags) { }
void *answer_asks(void *arg) { return NULL; }
void on_usr1(int signal) { }
void fail_creations(struct vm *vm) { }
void print_vm(const struct vm *vm) { printf("step of %d\n", vm->number); }
END
sed 's/^static void \*run_vcpu(void \*arg)$/static void *run_vcpu(void *arg) { return NULL; }\nvoid *old_run_vcpu(void *arg)/' "$VMM/run.c" >"$T/run.c"
build "$T/prints" "$T/monitor.c" "$T/run.c" "$VMM"/{vmm,options,script}.c
run "$T/prints" --vms 2 --after 'echo after $VMM_DIRS' cpuid=1
like 'it prints' "$status:$out" $'^0:vm\t0\t.*step of 0\nafter [0-9]*-0\nvm\t1\t.*step of 1\nafter'
for option in --before --after; do
	run "$T/prints" $option 'exit 3' cpuid=1
	is "a command that fails: $option" "$status:$err" '1:prints: exit 3: failed (wait status 0x300)'
done
run sh -c '"$1" cpuid=1 >/dev/full' sh "$T/prints"
like 'output that cannot be written' "$status:$err" '^1:prints: standard output'

run timeout -s KILL 5 "$T/prints" --hold cpuid=1 </dev/null
like '--hold: until standard input ends' "$status:$out" $'^0:.*\nhold$'

# how often a script runs
cat >"$T/rounds.c" <<'END'
#include "run.c"
bool svm;
volatile sig_atomic_t stop;
int call(int fd, unsigned long request, void *arg, const char *what) { return 0; }
void add_memory(struct vm *vm, int slot, uint64_t gpa, void *m, size_t size, int flags) { }
void create_vcpu(struct vm *vm, int i) { }
void *answer_asks(void *arg) { return NULL; }
int main(int argc, char **argv)
{
	struct vm vm = { 0 };
	struct vcpu v = { .vm = &vm };
	int rounds = 1;

	parse(argc, argv);
	while (rounds < 99 && another_round(&v))
		rounds++;
	printf("%d\n", rounds);
}
END
build "$T/rounds" "$T/rounds.c" "$VMM"/{options,script}.c
is 'a script runs once, or as often as --loop says, or on and on' "$("$T/rounds" cpuid=1) $("$T/rounds" --loop 3 cpuid=1) $("$T/rounds" --loop 0 cpuid=1)" '1 3 99'

# what it says that the account must have, of a vCPU that ran the script once; with +, three times
cat >"$T/known.c" <<'END'
#include "monitor.h"
bool svm;
int call(int fd, unsigned long request, void *arg, const char *what) { return 0; }
int main(int argc, char **argv)
{
	static struct guest g = { .digest = NO_DIGEST };
	struct vcpu v = { .script = scripts, .g = &g, .rounds = 1, .user[U_DONE] = 1 };
	struct vm vm = { .vcpu = &v };

	v.vm = &vm;
	svm = argv[1][0] == 's';
	if (argv[1][3] == '+')
		v.rounds = 3;
	if (argv[1][3] == '!') {
		v.rounds = v.user[U_DONE] = 0;
		v.user[U_SHUTDOWN] = 1;
	}
	parse(argc - 1, argv + 1);
	print_vm(&vm);
}
END
build "$T/known" "$T/known.c" "$VMM"/{print,options,script}.c
known() { "$T/known" "$@" | sed -n 's/^known\t0\t0\t//p' | tr '\t' ' ' | paste -sd,; }
is 'known on AMD: one reason for both kinds of MSR exits' "$(known svm cpuid=3 rdmsr=2 wrmsr-slow=4 out-kernel=5)" '114 3,123 5,124 6'
is 'known on Intel' "$(known vmx cpuid=3 rdmsr=2 wrmsr-slow=4 out-kernel=5)" '10 3,30 5,31 2,32 4'
is 'not known: MSR exits, where an EOI may be one' "$(known vmx rdmsr=2 hlt=1):$(known svm rdmsr=2 hlt=1)" '12 1:120 1'
is 'not known: a triple fault, as the vCPU does not enter its guest again' "$(known 'vmx!' cpuid=3 triple=1):$(known 'svm!' cpuid=3 triple=1)" '10 3:114 3'

is 'known on both: hypercalls, faults, registers, caches, the end by MMIO' "$(for on in vmx svm; do known $on vmcall=2 ud=3 dr7=4 cr4=5 invd=6 out-user=7; known $on --done-mmio out-user=7; done | paste -sd:)" \
	'10 4,30 7,18 2,0 3,29 4,28 5,13 6:30 7:114 4,123 7,129 2,70 3,39 4,20 5:123 7'
is 'not known: what KVM emulates' "$(known vmx --mode bigreal cpuid=3)" ''
is 'each round makes its exits again, also the one that a triple fault cuts' "$(known vmx+ cpuid=3 ipi=1 in=2):$("$T/known" vmx+ cpuid=3 ept=5 | grep '^made' | cut -f 4- | tr '\t' ' ' | paste -sd,)" '10 9,30 6:cpuid 9,io 1,ept 18'

# steps, as the guest gets them: name count a b
cat >"$T/steps.c" <<'END'
#include "monitor.h"
bool svm;
int main(int argc, char **argv)
{
	parse(argc, argv);
	for (int n = 0; n < nscripts; n++, puts("/"))
		for (int i = 0; i < scripts[n].steps; i++) {
			const struct step *s = &scripts[n].step[i];

			printf("%s %u %#x %u%s,", ops[scripts[n].op[i]].name, s->count, s->a, s->b, s->pass ? " pass" : "");
		}
	printf("needs %d, pages %u; %u %u %u %u %u", needs & IRQCHIP ? 1 : 0, fresh, opt.entry[0].function, opt.entry[0].eax,
	       opt.entry[0].ebx, opt.entry[0].ecx, opt.entry[0].edx);
	for (int i = 0; i < opt.sets; i++)
		printf(" %s", opt.set[i]);
	puts("");
	return 0;
}
END
build "$T/steps" "$T/steps.c" "$VMM"/{options,script}.c
steps() { "$T/steps" "$@" | paste -sd ' ' | sed 's/; 0 0 0 0 0$//'; }
is 'steps: what is given, and what is not' "$(steps cpuid=1 cpuid:7=2 cpuid:0x4:3=4 hlt-late=1 hlt-late:9:8=1 sweep:5:2=9 wrmsr-slow:0x10:7=1)" \
	'cpuid 1 0 0,cpuid 2 0x7 0,cpuid 4 0x4 3,hlt-late 1 0x1312d00 50,hlt-late 1 0x9 8,sweep 9 0x5 2,wrmsr-slow 1 0x10 7,/ needs 1, pages 0'
is 'steps: a parameter of the monitor' "$(steps sleep-user=1 sleep-user:7=1 reset:6=2 out-user=1 | sed 's/0x[0-9a-f]*/-/g')" \
	'sleep-user 1 - 50,sleep-user 1 - 7,reset 2 - 6,out-user 1 - 0,/ needs 0, pages 0'
is 'steps: leaves by ranges' "$(steps leaf:5=1-3,7 leaves=9)" \
	'leaf 3 0x5 1,leaf 1 0x5 7,leaf 1 0x4fffffff 0,leaf 1 0x4ffffffe 0,leaf 1 0x4ffffffd 9,leaf 1 0x4ffffffc 9,/ needs 0, pages 0'
is 'steps: pages, of each script from the start on; again, those of the last' "$(steps ept=5 again=5 cow=2 again=1 / ept=3)" \
	'ept 5 0 0,again 5 0 0,cow 2 0 6,again 1 0 6,/ ept 3 0 0,/ needs 0, pages 9'
is 'options: an entry, each --set' "$(steps --entry 1,2,0x3,4,5 --set a --set b cpuid=1)" 'cpuid 1 0 0,/ needs 0, pages 0; 1 2 3 4 5 a b'
refused 'a range of nothing' 'sweep:1:0=1: not a step' sweep:1:0=1
refused 'more words than a step has' 'cpuid=1x: not a step' cpuid=1x
refused 'half an entry' '1,2,3,4: not LEAF,EAX,EBX,ECX,EDX' --entry 1,2,3,4 cpuid=1
refused 'more than an entry' '1,2,3,4,5,6: not LEAF,EAX,EBX,ECX,EDX' --entry 1,2,3,4,5,6 cpuid=1
refused 'more --set' '--set: more than 4' --set 1 --set 2 --set 3 --set 4 --set 5 set:0=1
refused 'a mode that is none' 'huge: not a mode' --mode huge cpuid=1
refused 'a hypercall that KVM would emulate' 'vmcall: KVM cannot emulate it' --mode bigreal vmcall=1
refused 'the end by MMIO, in another mode' 'protected: --bad-entry and --done-mmio are for long mode' --mode protected --done-mmio cpuid=1

# --- what this host's KVM cannot do

sed 's,"/dev/kvm","/dev/null",' "$VMM/machine.c" >"$T/machine.c"
cat >"$T/kvm.c" <<'END'
#include "monitor.h"
#include <string.h>
#include <stdlib.h>
void pin(pthread_t thread, int n) { }
void come_first(void) { }
void keep_cpu(uint32_t ms) { }
int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct kvm_cpuid2 *cpuid = arg;
	uint32_t virtual = atoi(getenv("NESTED"));

	if (request == KVM_GET_SUPPORTED_CPUID) {
		cpuid->nent = 3;
		memset(cpuid->entries, 0, 3 * sizeof(cpuid->entries[0]));
		cpuid->entries[0].ebx = *getenv("ON") == 'v' ? 0x756e6547 : 0x68747541;
		cpuid->entries[1].function = 1;
		cpuid->entries[1].ecx = *getenv("ON") == 'v' ? virtual << 5 : 0;
		cpuid->entries[2].function = 0x80000001;
		cpuid->entries[2].ecx = *getenv("ON") == 's' ? virtual << 2 : 0;
	}
	return 1;
}
int main(int argc, char **argv)
{
	struct vm vm = { 0 };

	parse(argc, argv);
	if (opt.taken) {
		opt.vcpus = 0;
		create_vcpus(&vm);
	}
	open_kvm();
	return 0;
}
END
build "$T/opens" -static -no-pie -Dioctl=fake_ioctl "$T"/{kvm,machine}.c "$VMM"/{options,script}.c "$VMM"/guest*.[cS]
# opens VENDOR NESTED STEP...: its status on such a host
opens() { ON=$1 NESTED=$2 "$T/opens" "${@:3}" 2>/dev/null; echo $?; }
is 'nested guests, where KVM has none: 77' "$(opens vmx 0 nested=1) $(opens svm 0 nested=1) $(opens vmx 1 nested=1) $(opens svm 1 nested=1)" '77 77 0 0'
is "a CPUID that L1 does not intercept, which is AMD's: 77" "$(opens vmx 1 nested-leaf-pass:0=0) $(opens svm 1 nested-leaf-pass:0=0)" '77 0'
ON=svm NESTED=0 run "$T/opens" --taken cpuid=1
is "--taken: KVM makes the vCPU nevertheless" "$status:$err" "1:opens: two vCPUs have the number 0"

# --- --fail

mkdir -p "$T/fails" "$T/debug"/{failslab,fail_page_alloc}
cp "$VMM"/*.h "$T/fails/"
sed -i "s,\"/sys/kernel/debug/\",\"$T/debug/\"," "$T/fails/monitor.h"
sed "s,/proc/thread-self/,$T/," "$VMM/fails.c" >"$T/fails/fails.c"
for folder in failslab fail_page_alloc; do
	touch "$T/debug/$folder"/{ignore-gfp-wait,task-filter,verbose,interval,times,probability,space,min-order,ignore-gfp-highmem}
done
touch "$T"/{fail-nth,make-it-fail}
cat >"$T/fails/main.c" <<'END'
#include "monitor.h"
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
struct opt opt;
static const char *left;
void write_file(const char *path, const char *value) { if (access(path, W_OK)) err(1, "%s", path); }
/* Each third creation does not fail. */
int fake_ioctl(int fd, unsigned long request, int id)
{
	static const char *const names[] = { "exit_cycles", "exit_cycles_hist", "exit_cycles_keys", "exit_cycles_slow" };
	static int n;
	char path[256];
	bool fails = ++n % 3;

	snprintf(path, sizeof(path), DEBUGFS "kvm/%d-%d/vcpu%d", getpid(), fd, id);
	if (!fails || *left == 'l')
		mkdir(path, 0777);
	for (int i = 0; !fails && i < 4; i++) {
		char file[300];
		FILE *out;

		snprintf(file, sizeof(file), "%s/%s", path, names[i]);
		out = fopen(file, "w");
		fprintf(out, "# exit_cycles %d\tvendor=svm tsc_khz=1000000 scope=vcpu\n", *left == 'h' && i == 1 ? 2 : 1);
		fclose(out);
	}
	errno = *left == 'e' ? EIO : ENOMEM;
	return fails ? -1 : dup(0);
}
int main(int argc, char **argv)
{
	struct vm vm = { .fd = 7 };
	char path[256];

	left = argv[1];
	mkdir(DEBUGFS "kvm", 0777);
	snprintf(path, sizeof(path), DEBUGFS "kvm/%d-7", getpid());
	mkdir(path, 0777);
	fail_creations(&vm);
	return 0;
}
END
gcc -std=gnu11 -O1 -w -Dioctl=fake_ioctl -I"$T/fails" -o "$T/failing" "$T/fails"/{main,fails}.c
run "$T/failing" no </dev/null
is '--fail: what failed and what did not' "$status:$err:$(paste -sd, <<<"$out" | tr '\t' ' ')" '0::fail 0 - once 2 1,fail 0 - slab 16 8,fail 0 - pages 16 8'
run "$T/failing" left </dev/null
like '--fail: a folder without its vCPU' "$status:$err" '^1:failing: .*/vcpu32: is there, though its vCPU is not$'
run "$T/failing" half </dev/null
like '--fail: a file that is half-made' "$status:$err" '^1:failing: .*/exit_cycles_hist: half-made$'
run "$T/failing" error </dev/null
like '--fail: another error than no memory' "$status:$err" '^1:failing: KVM_CREATE_VCPU, once 1: Input/output error$'

# --- what the guests notice

cat >"$T/answers.c" <<'END'
#include "guest-cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static uint64_t answers[8];
static int at;
static void fake_regs(uint32_t leaf, uint32_t ecx, struct regs *r)
{
	uint64_t n = answers[at++];

	r->rbx = n & 0xffffffff;
	r->rcx = n >> 32;
	r->rax = leaf & 1 ? r->rbx : 0;
	r->rdx = 0;
}
#define cpuid_regs fake_regs
#include "guest.c"
void nested(struct guest *g, const struct step *s, struct result *result) { }
void guest_halt(void) { }

/* monotonic N...: how many of these totals are bad; bad LEAF ECX RAX RBX RCX RDX: whether it is. */
int main(int argc, char **argv)
{
	static struct guest g;
	struct step s = { .count = argc - 2 };
	struct result result = { 0 };
	uint64_t n[8] = { 0 };

	for (int i = 2; i < argc; i++)
		n[i - 2] = strtoull(argv[i], NULL, 0);
	if (!strcmp(argv[1], "monotonic")) {
		memcpy(answers, n, sizeof(n));
		monotonic(&g, &s, &result);
		printf("%d\n", (int)g.bad);
	} else {
		struct regs r = { .rax = n[2], .rbx = n[3], .rcx = n[4], .rdx = n[5] };

		printf("%d\n", bad_answer(n[0], n[1], &r));
	}
}
END
build "$T/guest" "$T/answers.c"
is 'totals that only grow, by 64 bits' "$("$T/guest" monotonic 1 100 2 0x1000000000 3 0x1000000001)" 0
is 'exits that go back' "$("$T/guest" monotonic 5 100 4 200 6 300)" 1
is 'cycles that go back' "$("$T/guest" monotonic 1 100 2 90 3 0x1000000000 4 0xfffffff)" 2
# answers EXPECTED LEAF,ECX,RAX,RBX,RCX,RDX...: whether each is bad
answers() {
	local one got='' words
	for one in "${@:2}"; do
		IFS=, read -ra words <<<"$one"
		got+=$("$T/guest" bad "${words[@]}")
	done
	echo "$got"
}
is 'good answers' "$(answers 0 0x4fffffff,0,5,5,1,0 0x4ffffffe,0,0,5,1,0 0x4ffffffd,10,5,5,0,0 0x4ffffffc,10,0,5,0,0 0x4ffffffd,99,0,0,0,0xffffffff 1,0,1,2,3,4)" 000000
is 'wrong answers: EAX of counts and of cycles, EDX, too many bits' \
	"$(answers 0 0x4fffffff,0,4,5,1,0 0x4ffffffe,0,5,5,1,0 0x4ffffffd,10,5,5,0,1 0x4ffffffd,10,0x100000005,5,0,0 1,0,0,0x100000000,0,0)" 11111
is 'wrong answers: a reason without a name that has a count, totals without a name, a name for 0xfffffffe' \
	"$(answers 0 0x4ffffffd,99,0,1,0,0xffffffff 0x4fffffff,0,0,0,0,0xffffffff 0x4ffffffd,0xfffffffe,0,0,0,0)" 111

done_testing
