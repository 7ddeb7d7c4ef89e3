#!/usr/bin/env bash
# Makes an AMI of a worker's host, with scribefleet, its model and its services on it: instances made of it work a minute
# after their first boot instead of after an installation. It starts one instance of the Deep Learning Base AMI for about
# ten minutes, installs this checkout on it, and removes it again.
# Needs the AWS command line with credentials (for EC2, CloudFormation, SSM parameters and the fleet's code bucket), and
# a python3 with scribefleet installed from the checkout; PYTHON names another one.
set -euo pipefail

readonly BASE=/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id
readonly DONE="scribefleet image: ready"
fleet=scribefleet instance_type=g4dn.xlarge subnet="" base_image="" instance="" package=""

usage() {
    cat <<'HELP'
Usage: make-image.sh [OPTION]...

Make an AMI with what a fleet's workers need; prints how to deploy it.

  --fleet NAME          The deployed fleet that it is for (scribefleet).
  --instance-type TYPE  Type of the instance it is built on, with the GPU to be tried out (g4dn.xlarge).
  --subnet ID           Its subnet, with a way out to the internet; else the default VPC's.
  --base-image ID       AMI to begin with, Ubuntu 22.04 or 24.04 with NVIDIA's driver (the newest Deep Learning Base AMI).
  --help                Show this.
HELP
}

main() {
    parse "$@"
    local bucket url image
    bucket=$(aws cloudformation describe-stacks --stack-name "$fleet" --output text \
        --query "Stacks[0].Parameters[?ParameterKey=='CodeBucket'].ParameterValue | [0]")
    [[ -n $base_image ]] || base_image=$(aws ssm get-parameter --name "$BASE" --query Parameter.Value --output text)
    trap remove EXIT
    package=s3://$bucket/image-$(date -u +%Y%m%d-%H%M%S).tar.gz
    pack | aws s3 cp --only-show-errors - "$package"
    url=$(aws s3 presign "$package" --expires-in 3600)
    echo "starting a $instance_type of $base_image"
    instance=$(start "$url")
    echo "installing on $instance; this takes about ten minutes"
    wait_until_stopped
    aws ec2 get-console-output --instance-id "$instance" --query Output --output text | grep --quiet "$DONE" ||
        fail "the installation failed; see: aws ec2 get-console-output --instance-id $instance --output text"
    image=$(aws ec2 create-image --instance-id "$instance" --name "$fleet-worker-$(date -u +%Y%m%d-%H%M%S)" \
        --description "scribefleet worker on $base_image" --query ImageId --output text)
    echo "copying the volume to $image"
    aws ec2 wait image-available --image-ids "$image"
    echo "$image is ready: scribefleet deploy --fleet $fleet --parameter ImageId=$image"
}

parse() {
    while (($#)); do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --fleet) fleet=${2:?--fleet needs a value} ;;
        --instance-type) instance_type=${2:?--instance-type needs a value} ;;
        --subnet) subnet=${2:?--subnet needs a value} ;;
        --base-image) base_image=${2:?--base-image needs a value} ;;
        *) fail "unknown option $1; see --help" ;;
        esac
        shift 2
    done
}

pack() {
    "${PYTHON:-python3}" -c 'import sys
from deploy.aws.host_package import build_host_package, build_wheel
sys.stdout.buffer.write(build_host_package(build_wheel).content)'
}

start() {
    local where=()
    [[ -z $subnet ]] || where=(--subnet-id "$subnet")
    aws ec2 run-instances --image-id "$base_image" --instance-type "$instance_type" "${where[@]}" --count 1 \
        --instance-initiated-shutdown-behavior stop --metadata-options HttpTokens=required \
        --tag-specifications "ResourceType=instance,Tags=[{Key=Name,Value=$fleet-image}]" \
        --user-data "$(user_data "$1")" --query 'Instances[0].InstanceId' --output text
}

# It powers off whatever happens. cloud-init forgets this instance, so that it configures those made of the image.
user_data() {
    cat <<SCRIPT
#!/bin/bash
exec >/dev/console 2>&1
trap 'poweroff' EXIT
set -eo pipefail
mkdir -p /opt/scribefleet-setup
curl --fail --silent --show-error '$1' | tar -xz -C /opt/scribefleet-setup
bash /opt/scribefleet-setup/install.sh
cloud-init clean --logs
echo "$DONE"
SCRIPT
}

wait_until_stopped() {
    # The waiter gives up after ten minutes.
    aws ec2 wait instance-stopped --instance-ids "$instance" 2>/dev/null ||
        aws ec2 wait instance-stopped --instance-ids "$instance"
}

remove() {
    [[ -z $instance ]] || aws ec2 terminate-instances --instance-ids "$instance" --output text >/dev/null
    [[ -z $package ]] || aws s3 rm --only-show-errors "$package"
}

fail() {
    echo "make-image.sh: $*" >&2
    exit 1
}

main "$@"
