"""A Debian 12 guest under QEMU whose kernel has simulated GPIO lines: gpio-sim, built from the kernel's source package."""
import base64
import glob
import gzip
import io
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).parent


def die(why):
    print(f"cannot run: {why}", file=sys.stderr)
    sys.exit(2)


def run(*args, **more):
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        die(f"{' '.join(map(str, args))}: status {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def kernel_of(work):
    """The newest kernel with headers: its release, image and configfs.ko."""
    trees = [p for p in glob.glob("/usr/src/linux-headers-*-amd64") if not re.search("cloud|rt-amd64", p)]
    if not trees:
        die("no linux-headers-amd64")
    tree = max(trees, key=os.path.getmtime)
    release = os.path.basename(tree).removeprefix("linux-headers-")
    root = pathlib.Path("/")
    if not (root / f"boot/vmlinuz-{release}").exists():
        root = work / "image"
        version = run("dpkg-query", "-W", "-f", "${Version}", f"linux-headers-{release}")
        cache = pathlib.Path(tempfile.gettempdir()) / f"wattd-guest-{os.getuid()}"  # so that it is fetched once
        cache.mkdir(exist_ok=True)
        name = f"linux-image-{release}_{version}_*.deb"
        if not list(cache.glob(name)):
            run("apt-get", "download", f"linux-image-{release}={version}", cwd=cache)
        run("dpkg-deb", "-x", next(cache.glob(name)), root)
    (configfs,) = list((root / f"lib/modules/{release}").glob("kernel/fs/configfs/configfs.ko"))
    return release, tree, root / f"boot/vmlinuz-{release}", configfs


def build_module(work, tree):
    """gpio-sim with the interrupt simulator inside: Debian's kernels have neither."""
    parts = ["drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c"]
    run("tar", "xJf", "/usr/src/linux-source-6.1.tar.xz", "-C", work, *[f"linux-source-6.1/{p}" for p in parts])
    mod = work / "module"
    mod.mkdir()
    for part in parts:
        text = (work / "linux-source-6.1" / part).read_text()
        # irq_to_desc() is not exported to modules; this is the same descriptor.
        text = text.replace("irq_to_desc(irqnum)", "irq_data_to_desc(irq_get_irq_data(irqnum))")
        (mod / os.path.basename(part).replace("gpio-sim.c", "sim_chip.c")).write_text(text)
    (mod / "Makefile").write_text("obj-m := gpio-sim.o\ngpio-sim-y := sim_chip.o irq_sim.o\n")
    run("make", "-j1", "-C", tree, f"M={mod}", "modules")
    return mod / "gpio-sim.ko"


def libraries(*programs):
    return sorted({m for p in programs for m in re.findall(r"(/\S+) \(0x", run("ldd", p))})


def cpio(entries):
    """A newc archive of (name, mode, bytes)."""
    out = io.BytesIO()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        head = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out.write(b"070701" + b"".join(b"%08X" % h for h in head) + name.encode() + b"\0")
        out.write(b"\0" * (-out.tell() % 4) + data)
        out.write(b"\0" * (-out.tell() % 4))
    return out.getvalue()


def build_initramfs(work, wattd, wattctl, module, configfs):
    run("gcc", "-O1", "-static", "-o", work / "sim", HERE / "sim.c")
    files = {"init": HERE / "init.sh", "etc/wattd.toml": HERE / "wattd.toml", "mod/gpio-sim.ko": module, "mod/configfs.ko": configfs,
             "bin/busybox": pathlib.Path("/bin/busybox"), "bin/sim": work / "sim"}
    for program in (wattd, wattctl):  # without their debug symbols
        plain = work / program.name
        run("objcopy", "-S", program, plain)
        files[f"bin/{program.name}"] = plain
    for lib in libraries(wattd, wattctl):
        files[lib.lstrip("/")] = pathlib.Path(lib).resolve()
    for zone in ("UTC", "Etc/UTC", "tzdata.zi", "leap-seconds.list", "leapseconds"):
        if (path := pathlib.Path("/usr/share/zoneinfo") / zone).exists():
            files[str(path).lstrip("/")] = path
    entries, known = [], set()
    def directory(path):
        if path and path not in known:
            directory(os.path.dirname(path))
            known.add(path)
            entries.append((path, 0o040755, b""))
    for path in ("proc", "sys", "dev"):
        directory(path)
    for name, what in files.items():
        directory(os.path.dirname(name))
        entries.append((name, 0o100755, what if isinstance(what, bytes) else what.read_bytes()))
    for applet in run("/bin/busybox", "--list").split():
        if applet != "busybox":
            entries.append((f"bin/{applet}", 0o120777, b"busybox"))
    (work / "initramfs").write_bytes(gzip.compress(cpio(entries), 1))
    return work / "initramfs"


def boot(work, kernel, initramfs, accel, timeout):
    command = ["qemu-system-x86_64", "-accel", accel, "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults", "-no-reboot",
               "-display", "none", "-rtc", "base=utc", "-kernel", str(kernel), "-initrd", str(initramfs), "-append",
               "console=ttyS0 rdinit=/init quiet panic=-1 mitigations=off", "-serial", "stdio",
               "-serial", f"file:{work}/results"]
    began = time.monotonic()
    with open(work / "console", "w+") as console:
        guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)
        try:
            guest.wait(timeout)
        except subprocess.TimeoutExpired:
            guest.kill()
            guest.wait()
    text = (work / "console").read_text(errors="replace")
    print("\n".join(f"  {x.strip()}" for x in text.splitlines() if "@@" in x or "panic" in x.lower()))
    print(f"guest: {time.monotonic() - began:.0f} s")
    try:
        data = base64.b64decode((work / "results").read_bytes())
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(work / "r")
    except Exception as problem:
        die(f"the guest has left no results ({problem}); its console ends:\n{text[-3000:]}")
    return work / "r"
