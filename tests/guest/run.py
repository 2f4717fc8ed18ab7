"""Tests GPIO on real kernel lines, in a guest under QEMU: pulses, contacts and relays, over kills, bursts and a chip that goes.

Usage: run.py WATTD WATTCTL [--timeout S] [--accel tcg|kvm] [--keep DIRECTORY]
Packages: linux-headers-amd64 linux-source-6.1 qemu-system-x86 busybox-static gcc make binutils xz-utils tzdata, and the image
of the same kernel, installed or to be had from apt (it is unpacked only, never installed).
Exit status: 0 all checks hold, 1 some do not, 2 it could not be run.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile
import time

from guest import boot, build_initramfs, build_module, die, kernel_of
from judge import judge


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wattd", type=lambda p: pathlib.Path(p).resolve(strict=True))
    parser.add_argument("wattctl", type=lambda p: pathlib.Path(p).resolve(strict=True))
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--keep", type=pathlib.Path, help="where to leave what the guest wrote")
    parser.add_argument("--check", type=pathlib.Path, help="judges what --keep has left; boots nothing")
    args = parser.parse_args()
    if args.check:
        return judge(args.check)
    for tool in ("qemu-system-x86_64", "gcc", "make", "objcopy", "xz", "/bin/busybox"):
        if not shutil.which(tool):
            die(f"no {tool}")
    with tempfile.TemporaryDirectory(prefix="gpio-guest-") as directory:
        work, began = pathlib.Path(directory), time.monotonic()
        release, tree, kernel, configfs = kernel_of(work)
        module = build_module(work, tree)
        initramfs = build_initramfs(work, args.wattd, args.wattctl, module, configfs)
        print(f"built for {release} in {time.monotonic() - began:.0f} s; initramfs {initramfs.stat().st_size >> 20} MiB")
        results = boot(work, kernel, initramfs, args.accel, args.timeout)
        if args.keep:
            shutil.copytree(results, args.keep, dirs_exist_ok=True)
            shutil.copy(work / "console", args.keep)
        return judge(results)


if __name__ == "__main__":
    sys.exit(main())
