//! What the kernel offers: mounts, namespaces, tracing, keys, and system calls that no build needs.

use super::{
    Attack,
    Uncontrolled::{Root, User},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "mount a file system",
        probe: r#"
os.makedirs("here", exist_ok=True)
if libc.mount(b"none", b"here", b"tmpfs", 0, None) == 0: succeed()
"#,
        works: Root,
    },
    Attack {
        name: "mount the root again, to write to it",
        probe: r#"
if libc.mount(b"none", b"/", None, 32 | 4096, None) == 0: succeed()  # MS_REMOUNT, MS_BIND
"#,
        works: Root,
    },
    Attack {
        name: "bind a directory over another",
        probe: r#"
os.makedirs("here", exist_ok=True)
if libc.mount(b"/usr", b"here", None, 4096, None) == 0: succeed()
"#,
        works: Root,
    },
    Attack { name: "unmount /proc", probe: "if libc.umount2(b'/proc', 2) == 0: succeed()", works: Root },
    Attack { name: "the new mount calls: fsopen", probe: "if call(430, b'tmpfs', 0)[0] >= 0: succeed()", works: Root },
    Attack {
        name: "the new mount calls: open_tree",
        probe: "if call(428, -100, b'/', 1)[0] >= 0: succeed()",
        works: Root,
    },
    Attack { name: "pivot_root", probe: "reaches(155, b'/', b'/')", works: Root },
    Attack { name: "chroot", probe: "os.chroot('/'); succeed()", works: Root },
    Attack { name: "a user namespace by unshare", probe: "if call(272, 0x10000000)[0] == 0: succeed()", works: User },
    Attack { name: "a mount namespace by unshare", probe: "if call(272, 0x20000)[0] == 0: succeed()", works: Root },
    Attack {
        name: "a network namespace by unshare",
        probe: "if call(272, 0x40000000)[0] == 0: succeed()",
        works: Root,
    },
    Attack {
        name: "a process namespace by unshare",
        probe: "if call(272, 0x20000000)[0] == 0: succeed()",
        works: Root,
    },
    Attack { name: "a time namespace by unshare", probe: "if call(272, 0x80)[0] == 0: succeed()", works: Root },
    Attack {
        name: "a user namespace by clone",
        probe: r#"
result, error = call(56, 0x10000000 | 17, 0, 0, 0, 0)
if result == 0: os._exit(0)
if result > 0: succeed()
"#,
        works: User,
    },
    Attack {
        name: "a user namespace by clone3",
        probe: r#"
arguments = struct.pack("<QQQQQQQQ", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
result, error = call(435, arguments, len(arguments))
if result == 0: os._exit(0)
if result > 0: succeed()
"#,
        works: User,
    },
    Attack {
        name: "enter the mount namespace of the first process",
        probe: r#"
fd = os.open("/proc/1/ns/mnt", os.O_RDONLY)
if call(308, fd, 0)[0] == 0: succeed()
"#,
        works: Root,
    },
    Attack { name: "set the host name", probe: "if libc.sethostname(b'x', 1) == 0: succeed()", works: Root },
    Attack {
        name: "trace a child",
        probe: r#"
pid = child()
if libc.ptrace(0x4206, pid, 0, 0) == 0: succeed()  # PTRACE_SEIZE
os.kill(pid, 9)
"#,
        works: User,
    },
    Attack { name: "be traced", probe: "if libc.ptrace(0, 0, 0, 0) == 0: succeed()", works: User },
    Attack {
        name: "read another process' memory",
        probe: r#"
pid = child()
class Part(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
text = ctypes.create_string_buffer(b"text"); into = ctypes.create_string_buffer(4)
local = Part(ctypes.addressof(into), 4); remote = Part(ctypes.addressof(text), 4)
if call(310, pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)[0] == 4: succeed()
os.kill(pid, 9)
"#,
        works: User,
    },
    Attack {
        name: "take another process' file descriptor",
        probe: r#"
pid = child()
fd = call(434, pid, 0)[0]
if fd >= 0 and call(438, fd, 0, 0)[0] >= 0: succeed()
os.kill(pid, 9)
"#,
        works: User,
    },
    Attack {
        name: "add a key to a keyring",
        probe: "if call(248, b'user', b'jm', b'x', 1, -2)[0] > 0: succeed()",
        works: User,
    },
    Attack { name: "look into a keyring", probe: "if call(250, 0, -3, 1)[0] > 0: succeed()", works: User },
    Attack { name: "a session keyring", probe: "if call(250, 1, None)[0] > 0: succeed()", works: User },
    Attack {
        name: "a BPF map",
        probe: r#"
arguments = struct.pack("<IIII", 2, 4, 4, 1) + b"\0" * 100
if call(321, 0, arguments, 72)[0] >= 0: succeed()
"#,
        works: Root,
    },
    Attack {
        name: "an io_uring",
        probe: "if call(425, 1, ctypes.create_string_buffer(120))[0] >= 0: succeed()",
        works: User,
    },
    Attack {
        name: "count the kernel's events",
        probe: r#"
arguments = struct.pack("<II", 1, 112) + b"\0" * 120
if call(298, arguments, 0, -1, -1, 0)[0] >= 0: succeed()
"#,
        works: Root,
    },
    Attack { name: "handle page faults", probe: "if call(323, 0)[0] >= 0: succeed()", works: Root },
    Attack { name: "watch a file system", probe: "if call(300, 0, 0)[0] >= 0: succeed()", works: Root },
    Attack {
        name: "name a file by handle",
        probe: r#"
handle = ctypes.create_string_buffer(struct.pack("<II", 128, 0) + b"\0" * 128)
if call(303, -100, b"/proc/self/exe", handle, ctypes.byref(ctypes.c_int()), 0x400)[0] == 0: succeed()
"#,
        works: User,
    },
    Attack {
        name: "open a file by handle",
        probe: r#"
handle = ctypes.create_string_buffer(struct.pack("<II", 8, 1) + b"\0" * 128)
reaches(304, os.open("/", os.O_RDONLY), handle, 0)
"#,
        works: Root,
    },
    Attack {
        name: "exchange what two files hold",
        probe: r#"
fds = [os.open(name, os.O_RDWR | os.O_CREAT) for name in ("one", "other")]
refused = 0
# Of ext4 and of XFS; another file system does not know them.
for request in (0xc028660f, 0xc0c0586d, 0x40285881, 0x40585883):
    result, error = call(16, fds[0], request, ctypes.create_string_buffer(256))
    refused += result < 0 and error in (errno.EPERM, errno.EACCES)
if refused < 4: succeed()
"#,
        works: User,
    },
    Attack { name: "move pages", probe: "if call(279, 0, 0, 0, 0, 0, 0)[0] == 0: succeed()", works: User },
    Attack { name: "set the clock", probe: "reaches(227, 0, struct.pack('<qq', 0, 2**62))", works: Root },
    Attack {
        name: "adjust the clock",
        probe: "if call(159, ctypes.create_string_buffer(400))[0] >= 0: succeed()",
        works: User,
    },
    Attack { name: "process accounting", probe: "if call(163, None)[0] == 0: succeed()", works: Root },
    Attack { name: "restart the machine", probe: "reaches(169, 0, 0, 0, 0)", works: Root },
    Attack { name: "end swapping", probe: "reaches(168, b'/no/such/file')", works: Root },
    Attack { name: "quotas", probe: "reaches(179, 0x800005, None, 0, None)", works: Root },
    Attack {
        name: "the kernel's log by system call",
        probe: "if call(103, 3, ctypes.create_string_buffer(4096), 4096)[0] >= 0: succeed()",
        works: Root,
    },
    Attack {
        name: "the kernel's log by device",
        probe: "os.close(os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)); succeed()",
        works: Root,
    },
    Attack {
        name: "write to the kernel's log",
        probe: "os.close(os.open('/dev/kmsg', os.O_WRONLY)); succeed()",
        works: Root,
    },
    Attack { name: "make a device", probe: "os.mknod('device', 0o60600, os.makedev(254, 0)); succeed()", works: Root },
    Attack { name: "a raw disk", probe: "reaches(133, b'/tmp/jm-disk', 0o60600, os.makedev(254, 0))", works: Root },
    Attack {
        name: "where core dumps go",
        probe: "os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)); succeed()",
        works: Root,
    },
    Attack {
        name: "what runs for a missing module",
        probe: "os.close(os.open('/proc/sys/kernel/hotplug' if os.path.exists('/proc/sys/kernel/hotplug') else '/proc/sys/kernel/panic', os.O_WRONLY)); succeed()",
        works: Root,
    },
    Attack {
        name: "what runs when a cgroup is empty",
        probe: r#"
groups = "/sys/fs/cgroup"
for name in [groups] + [os.path.join(groups, name) for name in os.listdir(groups)]:
    if os.path.exists(name + "/release_agent"):
        os.close(os.open(name + "/release_agent", os.O_WRONLY)); succeed(); break
"#,
        works: Root,
    },
    Attack {
        name: "leave the cgroup",
        probe: r#"
for name in ("/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"):
    try: os.close(os.open(name, os.O_WRONLY)); succeed(); break
    except OSError as error: print(error)
"#,
        works: Root,
    },
    Attack { name: "raise the own priority", probe: "os.nice(-5); succeed()", works: Root },
    Attack {
        name: "run a setuid program",
        probe: r#"
if subprocess.run([env["SETUID"], "-u"], capture_output=True).stdout == b"0\n": succeed()
"#,
        works: User,
    },
    Attack { name: "become root", probe: "os.setuid(0); succeed()", works: Root },
    Attack {
        name: "give a file away",
        probe: "open('mine', 'w').close(); os.chown('mine', 12345, 12345); succeed()",
        works: Root,
    },
    Attack {
        name: "a capability",
        probe: r#"
status = open("/proc/self/status").read()
sets = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
if any(int(value, 16) for value in sets): succeed()
"#,
        works: Root,
    },
    Attack {
        name: "gain privileges by execution",
        probe: "if libc.prctl(39, 0, 0, 0, 0) == 0: succeed()  # PR_GET_NO_NEW_PRIVS",
        works: User,
    },
    Attack {
        name: "no filter of system calls",
        probe: "if 'Seccomp:\\t0' in open('/proc/self/status').read(): succeed()",
        works: User,
    },
];
