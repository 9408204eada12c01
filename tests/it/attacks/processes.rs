//! Other processes: execd, of which the victim is one outside, the server's, the machine's.

use super::{Attack, Uncontrolled::User};

pub(super) const ATTACKS: &[Attack] = &[
    Attack { name: "trace execd", probe: "if libc.ptrace(0x4206, victim, 0, 0) == 0: succeed()", works: User },
    Attack {
        name: "read execd's memory by system call",
        probe: r#"
class Part(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
into = ctypes.create_string_buffer(16)
start = 0
try:
    start = int(open("/proc/%d/maps" % victim).read().split("-")[0], 16)
except OSError as error: print(error)
local = Part(ctypes.addressof(into), 16); remote = Part(start, 16)
if call(310, victim, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)[0] == 16: succeed()
"#,
        works: User,
    },
    Attack {
        name: "open execd's memory",
        probe: "open('/proc/%d/mem' % victim, 'rb').close(); succeed()",
        works: User,
    },
    Attack {
        name: "write execd's memory",
        probe: "os.close(os.open('/proc/%d/mem' % victim, os.O_RDWR)); succeed()",
        works: User,
    },
    Attack {
        name: "where execd's memory is",
        probe: "if open('/proc/%d/maps' % victim).read(): succeed()",
        works: User,
    },
    Attack {
        name: "execd's environment",
        probe: "if open('/proc/%d/environ' % victim, 'rb').read(): succeed()",
        works: User,
    },
    Attack { name: "execd's files", probe: "if os.listdir('/proc/%d/fd' % victim): succeed()", works: User },
    Attack {
        name: "write to execd's files",
        probe: "os.close(os.open('/proc/%d/fd/0' % victim, os.O_WRONLY)); succeed()",
        works: User,
    },
    Attack { name: "execd's directory", probe: "if os.readlink('/proc/%d/cwd' % victim): succeed()", works: User },
    Attack { name: "execd's program", probe: "open('/proc/%d/exe' % victim, 'rb').close(); succeed()", works: User },
    Attack {
        name: "take execd's file descriptor",
        probe: r#"
fd = call(434, victim, 0)[0]
if fd >= 0 and call(438, fd, 0, 0)[0] >= 0: succeed()
"#,
        works: User,
    },
    Attack {
        name: "stop execd",
        probe: r#"
os.kill(victim, signal.SIGSTOP)
time.sleep(0.2)
state = open("/proc/%d/stat" % victim).read().rsplit(")", 1)[1].split()[0]
os.kill(victim, signal.SIGCONT)
if state == "T": succeed()
"#,
        works: User,
    },
    Attack {
        name: "execd's limits",
        probe: r#"
import resource
resource.prlimit(victim, resource.RLIMIT_CORE, (0, 0)); succeed()
"#,
        works: User,
    },
    Attack {
        name: "where execd runs",
        probe: r#"
for pid in map(int, os.listdir("/proc/%d/task" % victim)):
    try: os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))}); succeed(); break
    except OSError as error: print(error)
"#,
        works: User,
    },
    Attack {
        name: "execd's scheduling",
        probe: r#"
for pid in map(int, os.listdir("/proc/%d/task" % victim)):
    try: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)); succeed(); break
    except OSError as error: print(error)
"#,
        works: User,
    },
    Attack {
        name: "execd's priority",
        probe: r#"
for pid in map(int, os.listdir("/proc/%d/task" % victim)):
    try: os.setpriority(os.PRIO_PROCESS, pid, 19); succeed(); break
    except OSError as error: print(error)
"#,
        works: User,
    },
    Attack {
        name: "the priority of execd's user",
        probe: "os.setpriority(os.PRIO_USER, os.getuid(), 19); succeed()",
        works: User,
    },
    Attack {
        name: "execd's share of the disk",
        probe: "if call(251, 1, victim, 3 << 13)[0] == 0: succeed()",
        works: User,
    },
    Attack {
        name: "see a process of the machine",
        probe: r#"
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if open("/proc/%s/cmdline" % pid, "rb").read() == b"sleep\0" b"86400\0": succeed(); break
    except OSError: pass
"#,
        works: User,
    },
    Attack {
        name: "signal a process of the machine",
        probe: r#"
if open("/proc/%s/comm" % env["HOST_PID"]).read() == "sleep\n": os.kill(int(env["HOST_PID"]), 0); succeed()
"#,
        works: User,
    },
    Attack {
        name: "the server's environment",
        probe: r#"
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        # Not what this probe was told itself.
        if int(pid) in (os.getpid(), os.getppid()): continue
        content = open("/proc/%s/environ" % pid, "rb").read()
        if b"CANARY=" in content and b"SETUID=" not in content: succeed(); break
    except OSError: pass
"#,
        works: User,
    },
    Attack {
        name: "see the server",
        probe: r#"
if b"it-" in open("/proc/%s/cmdline" % env["SERVER"], "rb").read(): succeed()
"#,
        works: User,
    },
    Attack {
        name: "shared memory of the machine",
        probe: r#"
if libc.shmget(int(env["SHARED_MEMORY"]), 0, 0) >= 0: succeed()
"#,
        works: User,
    },
];
