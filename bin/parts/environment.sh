# Shared by bin/up, bin/test and bin/dev: finds Python and makes .venv from the lock files.
# Every failure is one sentence and its own exit code; docs/operate.md lists them.

WRONG_PYTHON=3 NO_NETWORK=4 BAD_DOWNLOAD=5 NO_PAGE=6 UNWRITABLE=11 DISK_FULL=12 FAILED=1

fail() { # code sentence
    echo "$2" >&2
    exit "$1"
}

find_python() {
    for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            return
        fi
    done
    found=$(python3 -V 2>&1) || found="none"
    fail $WRONG_PYTHON "Doran needs Python 3.11 or newer (found: $found). Install it, or name it: PYTHON=/path/to/python3.12 $0"
}

started() { # sentence
    step=$1
    step_began=$(date +%s)
    printf '%-46s ' "$1"
}

finished() {
    [ ! -t 1 ] || printf '\r\033[K%-46s ' "$step"
    echo "$(($(date +%s) - step_began)) s"
}

# What the step under way has done so far, in a few words; each long step may say it in its own way.
so_far() { :; }

# Shows once a second that a step goes on; where nobody sits at a terminal, every five seconds what has been done.
tick() {
    told=
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        passed=$(($(date +%s) - step_began))
        words=$(so_far) || words=
        if [ -t 1 ]; then
            printf '\r\033[K%-46s %s s%s' "$step" "$passed" "${words:+, $words}"
        elif [ -n "$words" ] && [ "$words" != "$told" ] && [ $((passed % 5)) -eq 0 ]; then
            printf '%s, ' "$words"
            told=$words
        fi
    done
}

ticker=
stop_ticking() {
    [ -z "$ticker" ] || { kill "$ticker" 2>/dev/null && wait "$ticker" 2>/dev/null; } || :
    ticker=
}

# Some tools only say that they failed: then the disk is asked, too.
is_full() { # folder
    [ "$(df -Pk "$1" | awk 'NR == 2 { print $4 }')" -lt 1024 ]
}

# Runs a command quietly. What it said is looked at only when it failed, to give one plain sentence.
quietly() { # what command...
    what=$1
    shift
    [ -w . ] || fail $UNWRITABLE "The folder $(pwd) is not writable, so nothing can be installed here."
    said=$(mktemp 2>/dev/null) || fail $DISK_FULL "No temporary file can be made: the disk is full or the temporary folder is not writable."
    tick &
    ticker=$!
    if "$@" >"$said" 2>&1; then
        stop_ticking
        rm -f "$said"
        return
    fi
    stop_ticking
    echo failed
    cause=$(cat "$said")
    rm -f "$said"
    is_full . && cause="$cause No space left"
    undo
    case $cause in
        *"No space left"* | *ENOSPC* | *"Disk quota"*)
            fail $DISK_FULL "The disk is full: $what stopped and was undone." ;;
        *"THESE PACKAGES DO NOT MATCH THE HASHES"* | *EINTEGRITY*)
            fail $BAD_DOWNLOAD "A downloaded package differs from the locked one: $what stopped. Something between here and the package index changed it." ;;
        *"NewConnectionError"* | *"Max retries exceeded"* | *"ReadTimeout"* | *"Temporary failure in name resolution"* | *"Could not find a version"* | *"No matching distribution"* | *ENOTFOUND* | *ECONNREFUSED* | *ETIMEDOUT* | *EAI_AGAIN* | *ECONNRESET* | *"ProxyError"*)
            fail $NO_NETWORK "The package index cannot be reached: $what stopped. Check the network (or the proxy), then run the same command again." ;;
        *"Permission denied"* | *EACCES* | *"Read-only file system"* | *EROFS*)
            fail $UNWRITABLE "The folder $(pwd) is not writable: $what stopped." ;;
        *"ensurepip is not"* | *"No module named venv"* | *"No module named 'venv'"* | *"No module named ensurepip"*)
            fail $WRONG_PYTHON "This Python ($python) comes without venv: install it (on Debian and Ubuntu: apt install python3-venv), then run the same command again." ;;
    esac
    echo "$cause" | tail -n 25 >&2
    fail "${CODE:-$FAILED}" "$what failed; the last lines of what it said are above."
}

undo() { :; }

# One word for the state of the files that .venv was made from.
print_of() { # files...
    cat "$@" | cksum | tr ' ' -
}

make_environment() { # stamp-name lock-files...
    stamp=.venv/doran-$1
    shift
    wanted="$(print_of pyproject.toml "$@") $(pwd)"
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/python ] && return
    find_python
    trap 'stop_ticking; echo interrupted; undo; exit 130' INT TERM HUP
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        started "Making .venv ($("$python" -V))"
        undo() { rm -rf .venv; }
        rm -rf .venv 2>/dev/null || fail $UNWRITABLE "The folder $(pwd)/.venv is not writable, so nothing can be installed here."
        quietly "making .venv" "$python" -m venv .venv
        finished
    fi
    rm -f "$stamp"
    started "Installing what is locked"
    requirements=
    for lock in "$@"; do
        requirements="$requirements -r $lock"
    done
    wanted_packages=$(cat "$@" | grep -c '^[A-Za-z0-9]')
    there_before=$(packages_there)
    so_far() {
        fetched=$(grep -c '^Collecting ' "$said") || :
        if grep -q '^Installing collected' "$said"; then
            echo "$(($(packages_there) - there_before)) of $wanted_packages packages installed"
        else
            echo "$fetched of $wanted_packages packages fetched"
        fi
    }
    # shellcheck disable=SC2086
    quietly "installing what is locked" .venv/bin/python -m pip install --progress-bar off --disable-pip-version-check \
        --no-input --retries 2 --require-hashes --no-deps $requirements
    so_far() { :; }
    finished
    started "Installing Doran itself"
    quietly "installing Doran" .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --no-index --no-deps --no-build-isolation --editable .
    finished
    echo "$wanted" >"$stamp"
    trap - INT TERM HUP
    undo() { :; }
}

packages_there() {
    find .venv/lib -name '*.dist-info' -prune -print 2>/dev/null | wc -l
}

print_of_page() {
    find web hatch_build.py \( -name node_modules -o -name dist -o -name '.*' \) -prune -o -type f -print | LC_ALL=C sort |
        xargs cksum | cksum | tr ' ' -
}

make_page() {
    built=web/.built
    wanted=$(print_of_page)
    [ "$(cat $built 2>/dev/null)" = "$wanted" ] && [ -f web/dist/index.html ] && return
    rm -f $built
    started "Building the page"
    CODE=$NO_PAGE
    quietly "building the page" .venv/bin/python hatch_build.py
    CODE=
    finished
    echo "$wanted" >$built
}
