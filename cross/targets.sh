# The boards we build for, and the compiler that does it. Sourced by the scripts beside it, which run at the project's root.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/clasp-edge/cross
build_dir=${CARGO_TARGET_DIR:-target}
# What the compiler leaves for each target: elsewhere, if it is to outlive the checkout.
compiled=${CLASP_CROSS_COMPILED:-$build_dir/cross/compiled}

fail() {
    printf '%s: %s\n' "cross/${0##*/}" "$*" >&2
    exit 1
}

say() {
    printf '%s: %s\n' "cross/${0##*/}" "$*" >&2
}

# Sets $target from a script's arguments; $usage is what it says of itself.
take_arguments() {
    target='' route='' only_programs='' no_run=''
    while (($#)); do
        case $1 in
            -h | --help) echo "$usage" && exit ;;
            --route) route=${2:-nothing} && shift ;;
            --route=*) route=${1#*=} ;;
            --programs) only_programs=yes ;;
            --no-run) no_run=yes ;;
            -*) echo "$usage" >&2 && exit 2 ;;
            *) [[ -z $target ]] && target=$1 || { echo "$usage" >&2 && exit 2; } ;;
        esac
        shift
    done
    [[ -n $target ]] || { echo "$usage" >&2 && exit 2; }
    choose_target "$target"
}

# Sets what is known of a target: Rust's name for it, Debian's, how it runs here, and the cipher that is the fastest there.
choose_target() {
    emulator=() cipher=ChaCha20-Poly1305
    case $1 in
        # This one has instructions for AES. (On a Raspberry Pi 4 it does not, and that is found out when the program starts.)
        aarch64) triple=aarch64-unknown-linux-musl debian=arm64 emulator=(qemu-aarch64 -cpu cortex-a53) cipher=AES-128-GCM ;;
        armv7) triple=armv7-unknown-linux-musleabihf debian=armhf emulator=(qemu-arm -cpu cortex-a7) ;;
        # Debian's armhf is for ARMv7; a static ARMv6 program is at home on every board that runs it, and on Raspberry Pi OS.
        armv6) triple=arm-unknown-linux-musleabihf debian=armhf emulator=(qemu-arm -cpu arm1176) ;;
        riscv64) triple=riscv64gc-unknown-linux-musl debian=riscv64 emulator=(qemu-riscv64) ;;
        native)
            triple=$(rustc -vV | sed -n 's/^host: //p') || fail "native needs rustc: see https://rustup.rs"
            debian=$(dpkg --print-architecture 2>/dev/null || uname -m) cipher=
            ;;
        *) fail "no target called $1: aarch64, armv7, armv6, riscv64 or native" ;;
    esac
    upper=$(tr a-z- A-Z_ <<<"$triple")
}

# Sets how to build for the target: "rustup" where its standard library is installed, else "debian". $route can force either.
choose_route() {
    if [[ -z $route ]]; then
        if [[ $1 == native ]] || rustup target list --installed 2>/dev/null | grep -qx "$triple"; then
            route=rustup
        else
            route=debian
        fi
    fi
    case $route in
        rustup) say "$1: rustup's compiler, $(rustc --version), which has a standard library for $triple" ;;
        debian) say "$1: Debian's compiler, which builds the standard library for $triple from source: rustup has none installed" ;;
        *) fail "--route is $route: rustup or debian" ;;
    esac
}

# Debian packages that are missing, installed where that is ours to do.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "this route needs Debian's packages ${missing[*]}; or add a target to rustup: rustup target add $triple"
    if ((EUID != 0)); then
        fail "packages are missing: sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# zig as the linker, with musl for every target in it; its versions and their checksums are in requirements.txt.
need_zig() {
    local venv=$cache/zig want
    want=$(sha256sum <requirements.txt)
    [[ -f $venv/want && $(<"$venv/want") == "$want" ]] && return 0
    say "fetching zig, the linker (400 MB on disk, in $venv)"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
    printf '%s\n' "$want" >"$venv/want"
}

# What the chosen route needs on this machine; one build at a time sees to it.
need_toolchain() {
    [[ $route == debian ]] || return 0
    mkdir -p "$cache"
    (flock 9 && need_debian) 9>"$cache/lock"
}

need_debian() {
    need_packages rustc-web cargo-web rust-web-src python3-venv
    local compiler source
    compiler=$(dpkg-query -W -f '${Version}' rustc-web) source=$(dpkg-query -W -f '${Version}' rust-web-src)
    [[ $compiler == "$source" ]] ||
        fail "rustc-web is $compiler, and rust-web-src is $source: apt-get install rustc-web rust-web-src brings both to the same version"
    need_zig
}

# cargo for the target; $flags are for what is built for it. Each target has a directory of its own, so that several can be built beside
# each other.
cross_cargo() {
    local command=$1 flags=${flags:-}
    shift
    set -- --target "$triple" --target-dir "$compiled/$target" "$@"
    # Nothing here is C: a compiler for it must not be needed.
    export CC=/bin/false CXX=/bin/false
    if [[ $route == rustup ]]; then
        export "CARGO_TARGET_${upper}_RUSTFLAGS=$flags"
        [[ $triple == *-musl* ]] && export "CARGO_TARGET_${upper}_LINKER=rust-lld"
        cargo "$command" "$@"
    else
        export "CARGO_TARGET_${upper}_RUSTFLAGS=$flags -Clink-self-contained=no" # zig brings what starts a program
        # Debian's is a released compiler, and what builds the library is not yet stable: the one thing that is let in here.
        RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO=/usr/bin/cargo \
            ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache PATH=$cache/zig/bin:/usr/bin:/bin \
            cargo-zigbuild "$command" -Zbuild-std=std,panic_abort -Zbuild-std-features= "$@"
    fi
}
