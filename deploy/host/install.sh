#!/usr/bin/env bash
# Installs a scribefleet worker's host: driver check, Python environment, CUDA libraries, model, services, log agent.
# For Ubuntu 22.04 and 24.04, on the Deep Learning Base AMI or plain. May be run again at any time: it brings a host up
# to date and leaves alone what is right already. It starts nothing and writes no settings: the fleet's stack does that
# at the instance's first boot (deploy/template.yaml).
set -euo pipefail

readonly OLDEST_DRIVER=525.60.13 # of CUDA 12: NVIDIA, CUDA Compatibility, "Minor Version Compatibility"
readonly AGENT_URL=https://amazoncloudwatch-agent.s3.amazonaws.com
readonly AGENT_KEY=937616F3450B7D806CBD9725D58167303B789C72 # CloudWatch User Guide, "Verifying the signature"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# In the package that a deployment makes, this lies beside all that it needs; in a checkout, below it.
if [[ -d $here/requirements ]]; then source=$here; else source=$(cd "$here/../.." && pwd); fi
readonly here source

root="" cpu=false dry_run=false logs=true freeze=true
driver_branch="" model=small.en model_dir="" python=3.12 wheel=""
requirements=$source/requirements/gpu.txt

usage() {
    cat <<'HELP'
Usage: install.sh [OPTION]...

Install what a scribefleet worker's host needs. Run it as root, from a checkout or from an unpacked host package.

  --cpu                  A host without a GPU: no driver check, no CUDA libraries.
  --install-driver NAME  Where there is no NVIDIA driver, install Ubuntu's, such as 570-server.
  --model NAME           Speech model to fetch now, so that no worker ever waits for it (small.en).
  --model-dir DIR        Take the model from here instead of the network.
  --python NAME          Python of the environment, 3.11 or later: a version or a path (3.12).
  --wheel FILE           scribefleet itself; else the wheel in the package, else one built from the checkout.
  --requirements FILE    Pinned packages (requirements/gpu.txt).
  --no-logs              Do not install the CloudWatch agent.
  --no-freeze            Let the system go on upgrading kernel and driver.
  --root DIR             Install into DIR, as into an image's root: files only, nothing of this machine is changed.
  --dry-run              Print what would be done, and do nothing.
  --help                 Show this.

Exit codes: 0 installed, 1 a step failed, 2 wrong use, 3 this host does not do: the message says what to change.
HELP
}

main() {
    parse "$@"
    check_host
    $cpu || check_driver
    [[ -n $root ]] || prepare_system
    install_python
    $cpu || link_cuda
    install_files
    install_model
    [[ -n $root ]] || finish_system
    step "installed; it works once /etc/scribefleet/worker.env is there and scribefleet-worker.service is enabled"
}

parse() {
    while (($#)); do
        case $1 in
        --cpu) cpu=true ;;
        --dry-run) dry_run=true ;;
        --no-logs) logs=false ;;
        --no-freeze) freeze=false ;;
        --help | -h)
            usage
            exit 0
            ;;
        --install-driver | --model | --model-dir | --python | --requirements | --root | --wheel)
            (($# > 1)) || fail 2 "$1 needs a value; see --help"
            take "$1" "$2"
            shift
            ;;
        *) fail 2 "unknown option $1; see --help" ;;
        esac
        shift
    done
    [[ -f $requirements ]] || fail 2 "there is no $requirements; run this from a checkout or an unpacked host package"
    [[ -z $model_dir || -f $model_dir/model.bin ]] || fail 2 "there is no model.bin in $model_dir"
    [[ -z $wheel || -f $wheel ]] || fail 2 "there is no $wheel"
}

take() {
    case $1 in
    --install-driver) driver_branch=$2 ;;
    --model) model=$2 ;;
    --model-dir) model_dir=$2 ;;
    --python) python=$2 ;;
    --requirements) requirements=$2 ;;
    --root) root=$2 ;;
    --wheel) wheel=$2 ;;
    esac
}

# --- what the host is

check_host() {
    step "checking the host"
    [[ -z $root ]] || return 0
    [[ $EUID == 0 ]] || $dry_run || fail 3 "run it as root: sudo $0"
    local id version
    id=$(os_release ID) version=$(os_release VERSION_ID)
    [[ $id == ubuntu && $version =~ ^(22|24)\.04$ ]] ||
        fail 3 "this is $id $version; the script knows Ubuntu 22.04 and 24.04 (use the Dockerfile elsewhere)"
    [[ $(uname -m) == x86_64 ]] || $cpu ||
        fail 3 "CTranslate2's packages use the GPU on x86_64 only, this is $(uname -m); use --cpu or another instance"
}

os_release() {
    # shellcheck source=/dev/null
    (. "${OS_RELEASE:-/etc/os-release}" && printf '%s' "${!1:-unknown}")
}

check_driver() {
    step "checking the NVIDIA driver"
    if ! command -v nvidia-smi >/dev/null; then
        [[ -n $driver_branch && -z $root ]] || fail 3 "there is no NVIDIA driver (nvidia-smi): use the Deep Learning" \
            "Base AMI, or --install-driver 570-server, or --cpu for a host without a GPU"
        apt "nvidia-headless-$driver_branch" "nvidia-utils-$driver_branch"
        $dry_run && return 0
    fi
    local found
    found=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1) ||
        fail 3 "the driver does not reach the GPU ($found). Right after its installation: reboot and run this again." \
            "Else the kernel was upgraded under it, or this instance type has no GPU"
    [[ $(printf '%s\n' "$OLDEST_DRIVER" "$found" | sort --version-sort | head -n 1) == "$OLDEST_DRIVER" ]] ||
        fail 3 "driver $found is too old for CUDA 12: $OLDEST_DRIVER or later is needed"
    say "driver $found"
}

# --- the system: packages, user, log agent, upgrades

prepare_system() {
    step "system packages and the user"
    apt ca-certificates curl gnupg logrotate python3-venv
    if ! getent passwd scribefleet >/dev/null; then
        run useradd --system --user-group --home-dir /var/lib/scribefleet --shell /usr/sbin/nologin scribefleet
    fi
}

finish_system() {
    step "services"
    run systemctl daemon-reload
    run systemctl enable --now scribefleet-power-off.path
    $logs && install_agent
    $freeze && freeze_kernel
    return 0
}

apt() {
    # At a first boot Ubuntu's own upgrades may be under way.
    local options=(--quiet --option DPkg::Lock::Timeout=600)
    run apt-get update "${options[@]}"
    run env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install --yes --no-install-recommends "${options[@]}" "$@"
}

install_agent() {
    step "CloudWatch agent"
    if [[ -x /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl ]]; then
        say "is there already"
        return 0
    fi
    local folder package
    folder=$(mktemp -d)
    package=$AGENT_URL/ubuntu/$(dpkg --print-architecture)/latest/amazon-cloudwatch-agent.deb
    run curl --fail --silent --show-error --location --output "$folder/agent.deb" "$package"
    run curl --fail --silent --show-error --location --output "$folder/agent.deb.sig" "$package.sig"
    run curl --fail --silent --show-error --location --output "$folder/key" \
        "$AGENT_URL/assets/amazon-cloudwatch-agent.gpg"
    run verify_agent "$folder"
    run dpkg --install "$folder/agent.deb"
    rm -rf "$folder"
}

# In a subshell, so that gpg's folder goes with it. Its own path is short, as the socket of gpg's agent needs.
verify_agent() (
    GNUPGHOME=$(mktemp -d)
    export GNUPGHOME
    trap 'rm -rf "$GNUPGHOME"' EXIT
    gpg --quiet --batch --import "$1/key"
    gpg --batch --status-fd 1 --verify "$1/agent.deb.sig" "$1/agent.deb" 2>/dev/null |
        grep --quiet "^\[GNUPG:\] VALIDSIG $AGENT_KEY " || fail 1 "the CloudWatch agent's signature is not AWS's"
)

# An upgrade of the kernel without the driver's module shows up at the next start, months later, as a host without GPU.
freeze_kernel() {
    step "freezing kernel and driver; build a new image to upgrade them"
    local packages
    mapfile -t packages < <(
        dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' \
            'linux-aws*' 'linux-generic*' 'linux-headers*' 'linux-image*' 'linux-modules*' \
            'libnvidia*' 'nvidia-*' 2>/dev/null | awk '$1 == "installed" { print $2 }'
    )
    ((${#packages[@]})) || return 0
    run apt-mark hold "${packages[@]}"
}

# --- the Python environment

install_python() {
    step "Python environment"
    local home=$root/opt/scribefleet uv packages
    run mkdir -p "$home"
    uv=$(command -v uv || printf '%s' "$home/tools/bin/uv")
    if [[ ! -x $uv ]]; then
        run python3 -m venv "$home/tools"
        run "$home/tools/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.8,<1'
    fi
    # Ubuntu 24.04 has Python 3.12; for 22.04 uv fetches a build of it.
    export UV_PYTHON_INSTALL_DIR=$home/python
    if [[ ! -x $home/venv/bin/python ]]; then
        run "$uv" venv --quiet --python "$python" "$home/venv"
    fi
    find_wheel "$uv"
    packages=$home/packages.txt
    run write_packages "$packages"
    # Exactly these packages: what an older version needed and this one does not goes away.
    run "$uv" pip sync --quiet --reinstall-package scribefleet --python "$home/venv/bin/python" "$packages"
}

find_wheel() {
    [[ -z $wheel ]] || return 0
    if [[ -f $source/pyproject.toml ]]; then
        run mkdir -p "$root/opt/scribefleet/wheel"
        run rm -f "$root"/opt/scribefleet/wheel/*.whl
        run "$1" build --quiet --wheel --out-dir "$root/opt/scribefleet/wheel" "$source"
        wheel=$(newest "$root/opt/scribefleet/wheel")
    else
        wheel=$(newest "$source")
    fi
    [[ -n $wheel ]] || $dry_run || fail 1 "there is no wheel of scribefleet beside $source/requirements; use --wheel"
    wheel=${wheel:-"(the wheel)"}
}

newest() {
    [[ ! -d $1 ]] || find "$1" -maxdepth 1 -name 'scribefleet-*.whl' | sort --version-sort | tail -n 1
}

write_packages() {
    # A host without GPU needs no library of NVIDIA's, which are most of the download.
    if $cpu; then grep --invert-match '^nvidia-' "$requirements"; else cat "$requirements"; fi >"$1"
    printf 'scribefleet @ file://%s\n' "$(realpath "$wheel")" >>"$1"
}

# CTranslate2 opens these libraries by name when the model is loaded. They lie in the packages of a Python version, and
# the worker's service names one folder that stays the same.
link_cuda() {
    step "CUDA libraries"
    local home=$root/opt/scribefleet
    run rm -rf "$home/cuda"
    run mkdir -p "$home/cuda"
    run find "$home"/venv/lib/python*/site-packages/nvidia -path '*/lib/*.so*' -exec ln --symbolic --target-directory="$home/cuda" {} +
}

# --- files and model

install_files() {
    step "services' files"
    local units=$root/etc/systemd/system
    run install -d -m 755 "$units" "$root/etc/logrotate.d" "$root/etc/scribefleet" "$root/opt/scribefleet/libexec" \
        "$root/var/log/scribefleet"
    run install -m 644 "$here"/units/scribefleet-* "$units"
    run install -m 755 "$here"/libexec/* "$root/opt/scribefleet/libexec"
    run install -m 644 "$here/etc/logrotate" "$root/etc/logrotate.d/scribefleet"
}

install_model() {
    step "speech model $model"
    local store=$root/opt/scribefleet/models place
    place=$store/${model//\//--}
    run mkdir -p "$store"
    if [[ -n $model_dir ]]; then
        run rm -rf "$place"
        run cp --recursive --dereference "$model_dir" "$place"
    else
        run scribefleet model fetch "$model"
    fi
    run chmod --recursive a+rX "$store"
    # Loads it as the worker will, on the same device: driver, libraries and model go together, or this fails now.
    run scribefleet model check "$model"
}

scribefleet() {
    SCRIBEFLEET_MODEL_STORE=$root/opt/scribefleet/models SCRIBEFLEET_DEVICE=$($cpu && echo cpu || echo cuda) \
        LD_LIBRARY_PATH=$root/opt/scribefleet/cuda "$root/opt/scribefleet/venv/bin/scribefleet" "$@"
}

# --- how it speaks

run() {
    if $dry_run; then
        printf '  '
        printf '%q ' "$@"
        printf '\n'
    else
        "$@"
    fi
}

step() { printf '== %s\n' "$*"; }

say() { printf '  %s\n' "$*"; }

fail() {
    local code=$1
    shift
    printf 'install.sh: %s\n' "$*" >&2
    exit "$code"
}

# Sourced, it only defines its functions.
[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
