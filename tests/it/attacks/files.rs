//! Files that are not the task's.

use super::{
    Attack,
    Uncontrolled::{Root, User},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "read a file of the machine",
        probe: "if open(env['SECRET']).read() == env['CANARY']: succeed()",
        works: User,
    },
    Attack {
        name: "read a file of the machine through a link",
        probe: "os.path.lexists('link') or os.symlink(env['SECRET'], 'link')\nif open('link').read() == env['CANARY']: succeed()",
        works: User,
    },
    Attack {
        name: "climb out by dots",
        probe: "if open('../' * 40 + env['SECRET'].lstrip('/')).read() == env['CANARY']: succeed()",
        works: User,
    },
    Attack {
        name: "reach the machine's root through the first process",
        probe: "if open('/proc/' + str(victim) + '/root' + env['SECRET']).read() == env['CANARY']: succeed()",
        works: User,
    },
    Attack {
        name: "reach the machine's root through the own process",
        probe: "if open('/proc/self/root' + env['SECRET']).read() == env['CANARY']: succeed()",
        works: User,
    },
    Attack {
        name: "another task's directory",
        probe: r#"
found = [entry for entry in os.listdir(os.path.dirname(os.path.dirname(env["SECRET"]))) if os.path.basename(os.path.dirname(env["SECRET"])) == entry]
if found: succeed()
"#,
        works: User,
    },
    Attack {
        name: "write to /usr",
        probe: r#"
name = "/usr/.jm-attack-%d" % os.getpid()
open(name, "w").close(); os.unlink(name); succeed()
"#,
        works: Root,
    },
    Attack {
        name: "write to /etc",
        probe: r#"
name = "/etc/.jm-attack-%d" % os.getpid()
open(name, "w").close(); os.unlink(name); succeed()
"#,
        works: Root,
    },
    Attack {
        name: "write to the root",
        probe: r#"
name = "/.jm-attack-%d" % os.getpid()
open(name, "w").close(); os.unlink(name); succeed()
"#,
        works: Root,
    },
    Attack {
        name: "write to /dev",
        probe: r#"
name = "/dev/.jm-attack-%d" % os.getpid()
open(name, "w").close(); os.unlink(name); succeed()
"#,
        works: Root,
    },
    Attack {
        name: "say who users are",
        probe: "os.close(os.open('/etc/passwd', os.O_WRONLY)); succeed()",
        works: Root,
    },
    Attack {
        name: "say where names are looked up",
        probe: "os.close(os.open('/etc/hosts', os.O_WRONLY)); succeed()",
        works: Root,
    },
    Attack {
        name: "replace execd",
        probe: r#"
path = "/.execd" if os.path.exists("/.execd") else "/usr/bin/true"
path = path + "/execd" if os.path.isdir(path) else path
os.close(os.open(path, os.O_WRONLY)); succeed()
"#,
        works: Root,
    },
    Attack { name: "write to a mirror", probe: "open(env['MIRROR'] + '/object', 'a').close(); succeed()", works: User },
    Attack {
        name: "add to a mirror",
        probe: "name = env['MIRROR'] + '/more'\nopen(name, 'w').close(); os.unlink(name); succeed()",
        works: User,
    },
    Attack {
        name: "write to a mirror through a hard link",
        probe: "os.link(env['MIRROR'] + '/object', env['MIRROR'] + '/link'); os.unlink(env['MIRROR'] + '/link'); succeed()",
        works: User,
    },
    Attack { name: "make a mirror writable", probe: "os.chmod(env['MIRROR'], 0o777); succeed()", works: User },
    Attack {
        name: "a toolchain",
        probe: "name = os.path.dirname(env['SETUID']) + '/more'\nopen(name, 'w').close(); os.unlink(name); succeed()",
        works: Root,
    },
    Attack {
        name: "the settings of the kernel",
        probe: r#"
for name in ("/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/hostname"):
    os.close(os.open(name, os.O_WRONLY))
succeed()
"#,
        works: Root,
    },
    Attack {
        name: "devices of the machine",
        probe: r#"
import stat
for directory, _, names in os.walk("/dev"):
    for name in names:
        try:
            if stat.S_ISBLK(os.lstat(os.path.join(directory, name)).st_mode): succeed(); sys.exit()
        except OSError: pass
"#,
        works: Root,
    },
];
