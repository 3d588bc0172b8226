# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with kernel.sh
# build.sh - builds the lab's kernel, its stock modules and its patched ones. Sourced by
# kernel.sh.

configure() {
	local line
	settings | tr -d '?' >"$DIR/config"
	rm -f "$SRC/.config.whole"
	(
		cd "$SRC"
		quietly "$LOG" make LOCALVERSION= tinyconfig
		quietly "$LOG" scripts/kconfig/merge_config.sh -m .config "$DIR/config"
		quietly "$LOG" make LOCALVERSION= olddefconfig
		while read -r line; do
			[[ $line == CONFIG_*=[ym] ]] || continue
			grep -qx "$line" .config || die "${CONFIGS[*]}: $line: Linux $KERNEL does not take it"
		done < <(settings)
	)
}

# install_modules WHERE: copies the modules that are built now to $OUT/WHERE, all or none.
install_modules() {
	local module
	rm -rf "$OUT/$1.new"
	mkdir -p "$OUT/$1.new"
	for module in $MODULES; do
		cp "$SRC/$module" "$OUT/$1.new/"
	done
	[[ -f $SRC/virt/lib/irqbypass.ko ]] && cp "$SRC/virt/lib/irqbypass.ko" "$OUT/$1.new/"
	rm -rf "${OUT:?}/$1"
	[[ $1 != patched ]] || series_headers >"$OUT/patched.headers"
	mv "$OUT/$1.new" "$OUT/$1"
}

stock() {
	local key
	key=$(base_key)
	has_key "$OUT/stock.key" "$key" && return
	step "Linux $KERNEL${DEBUG:+ $DEBUG}: building the lab's kernel (minutes; log: $LOG)"
	rm -f "$OUT/stock.key"
	: >"$LOG"
	git_src checkout -q --detach base
	configure
	quietly "$LOG" make LOCALVERSION= -C "$SRC" -j"$(nproc)" bzImage modules
	mkdir -p "$OUT"
	cp "$SRC/arch/x86/boot/bzImage" "$OUT/bzImage"
	cp "$SRC/vmlinux" "$OUT/vmlinux"
	install_modules stock
	echo "$key" >"$OUT/stock.key"
	step "Linux $KERNEL${DEBUG:+ $DEBUG}: built"
}

# configured: makes what the build knows of the configuration match .config, if that or
# KVM's Kconfig has changed. The series has a symbol that the stock .config does not know.
configured() {
	local key=$SRC/.configured
	has_key "$key" "$(configuration)" && return
	rm -f "$key"
	quietly "$LOG" make LOCALVERSION= -C "$SRC" olddefconfig
	quietly "$LOG" make LOCALVERSION= -C "$SRC" modules_prepare
	configuration >"$key"
}

configuration() {
	cat "$SRC/.config" "$SRC/arch/x86/kvm/Kconfig" | sha256sum
}

# modules [OPTION]...: builds KVM's modules; the options are make's. kbuild compares only
# times of files, so the function checks that the result matches .config.
modules() {
	local wanted built
	configured
	quietly "$LOG" make LOCALVERSION= -C "$SRC" -j"$(nproc)" M=arch/x86/kvm "$@" modules
	wanted=$(grep -cx CONFIG_KVM_EXIT_CYCLES=y "$SRC/.config" || true)
	built=$(nm "$SRC/arch/x86/kvm/kvm.ko" | grep -c ' kvm_exit_cycles_init$' || true)
	((wanted == built)) || die "$SRC/arch/x86/kvm/kvm.ko: not what .config says (remove $DIR to build it anew)"
}

# forget_objects: deletes the object files, because since 6.13 `make M=` ignores a changed
# .config.
forget_objects() {
	find "$SRC/arch/x86/kvm" "$SRC/virt/kvm" -name '*.o' -delete
}

# whole: restores the .config that `without` changed.
whole() {
	forget_objects
	cp "$SRC/.config.whole" "$SRC/.config"
	configured
	rm "$SRC/.config.whole"
}

patched() {
	local key
	key=$(series_key)
	[[ -n $key ]] || return 0
	has_key "$OUT/patched.key" "$key" && return
	step "Linux $KERNEL${DEBUG:+ $DEBUG}: building the patched modules"
	rm -f "$OUT/patched.key"
	apply_series
	modules
	install_modules patched
	echo "$key" >"$OUT/patched.key"
}

# edited: builds the source as it is now, edits included.
edited() {
	modules
	install_modules patched
}

# series_headers: prints the checksums of the headers that a module must match to fit the
# patched modules.
series_headers() {
	git_src hash-object arch/x86/{kvm/exit_cycles,include/asm/kvm_host}.h
}
