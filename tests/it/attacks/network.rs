//! The network: there is none.

use super::{
    Attack,
    Uncontrolled::{Root, User},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "connect to the machine's loopback",
        probe: "socket.create_connection(('127.0.0.1', int(env['TCP'])), 3); succeed()",
        works: User,
    },
    Attack {
        name: "connect by IPv6",
        probe: "socket.create_connection(('::1', int(env['TCP6'])), 3); succeed()",
        works: User,
    },
    Attack {
        name: "connect by an IPv4 address in IPv6",
        probe: "s = socket.socket(socket.AF_INET6); s.settimeout(3); s.connect(('::ffff:127.0.0.1', int(env['TCP']))); succeed()",
        works: User,
    },
    Attack {
        name: "send a datagram",
        probe: r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
s.sendto(b"datagram", ("127.0.0.1", int(env["UDP"])))
if s.recv(100) == b"datagram": succeed()
"#,
        works: User,
    },
    Attack {
        name: "ask a name server",
        probe: r#"
# Whoever answers at the port, as a resolver would ask.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
question = struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"\x07example\x03org\0" + struct.pack(">HH", 1, 1)
s.connect(("127.0.0.1", int(env["UDP"])))
s.send(question)
if s.recv(512)[:2] == b"\0\x07": succeed()
"#,
        works: User,
    },
    Attack {
        name: "a route to elsewhere",
        probe: r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("198.51.100.1", 9))
if not s.getsockname()[0].startswith("127."): succeed()
"#,
        works: User,
    },
    Attack {
        name: "the metadata address",
        probe: r#"
# Outside, a listener stands in for the cloud's, on that very address of a network of its own.
address = "169.254.169.254"
if os.getuid() == 0:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", address + "/32", "dev", "lo"], check=True)
    listener = socket.socket(); listener.bind((address, 80)); listener.listen()
socket.create_connection((address, 80), 3); succeed()
"#,
        works: Root,
    },
    Attack {
        name: "an address of the own",
        probe: r#"
done = subprocess.run(["ip", "address", "add", "192.0.2.77/32", "dev", "lo"], capture_output=True)
if done.returncode == 0: succeed()
"#,
        works: Root,
    },
    Attack {
        name: "interfaces besides the loopback",
        probe: r#"
names = [name for _, name in socket.if_nameindex()]
if any(name != "lo" for name in names): succeed()
"#,
        works: User,
    },
    Attack {
        name: "raw packets",
        probe: "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); succeed()",
        works: Root,
    },
    Attack {
        name: "raw IPv6 packets",
        probe: "socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6); succeed()",
        works: Root,
    },
    Attack {
        name: "frames of the network",
        probe: "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0); succeed()",
        works: Root,
    },
    Attack {
        name: "sockets to the hypervisor",
        probe: "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); succeed()",
        works: User,
    },
    Attack {
        name: "a socket of the machine by its path",
        probe: "s = socket.socket(socket.AF_UNIX); s.connect(env['SOCKET']); succeed()",
        works: User,
    },
    Attack {
        name: "a socket of the machine by its abstract name",
        probe: "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + env['ABSTRACT']); succeed()",
        works: User,
    },
    Attack {
        name: "the kernel's packet filter",
        probe: "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12); s.bind((0, 0)); s.send(struct.pack('<IHHII', 20, 0x0a00, 5, 1, 0) + b'\\0\\0\\0\\0'); answer = s.recv(1000); print(answer)\nif struct.unpack('<i', answer[16:20])[0] != -1: succeed()",
        works: Root,
    },
];
