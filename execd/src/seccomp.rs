//! The system calls that a workspace may not make, as a filter: for bubblewrap, or for execd itself in a
//! container, where it comes on top of the engine's own.
//!
//! A short list of what no build or test needs and attacks on the kernel like: namespaces,
//! mounts, keys, tracing others, BPF, `io_uring`, modules, kexec, clocks, odd sockets. Most of it answers EPERM;
//! `clone3` answers ENOSYS, because a filter cannot see its flags and libraries then use `clone`.

use std::io;

/// One instruction of classic BPF, as the kernel reads it.
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_FIRST_ARGUMENT: u32 = 16;
const OFFSET_SECOND_ARGUMENT: u32 = 24;

/// `CLONE_NEW…`: mount, cgroup, uts, ipc, user, pid and net namespaces.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// The x32 calls of an x86-64 kernel; no number of another architecture is that large.
const FOREIGN_NUMBERS: u32 = 0x4000_0000;

/// Families of sockets that there are; others are as if the kernel did not have them. Above all there is no
/// way to the hypervisor of a virtual machine (`AF_VSOCK`), which no namespace separates, nor to the
/// kernel's cryptography (`AF_ALG`).
const FAMILIES: &[libc::c_int] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// What changes how a process is scheduled, which is their first argument.
const SCHEDULING: &[libc::c_long] =
    &[libc::SYS_sched_setaffinity, libc::SYS_sched_setattr, libc::SYS_sched_setparam, libc::SYS_sched_setscheduler];
/// The same by a process, a group or a user (first argument, from here on a user) and its number.
const PRIORITIES: &[(libc::c_long, u32)] = &[(libc::SYS_setpriority, 2), (libc::SYS_ioprio_set, 3)];

/// Kind and number of requests to file systems that exchange the contents of files and leave their times: of
/// ext4 `MOVE_EXT`, of XFS `SWAPEXT`, `EXCHANGE_RANGE` and `COMMIT_RANGE`.
const EXCHANGES: &[u32] = &[0x660f, 0x586d, 0x5881, 0x5883];

const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Puts the filter on this process, all its threads and all that it starts; there must be no new privileges any
/// more. `threads`: the first and the last of its threads' numbers, but for the first one's.
pub(crate) fn install(threads: (u32, u32)) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = instructions(threads)
        .into_iter()
        .map(|Instruction { code, if_true, if_false, value }| libc::sock_filter {
            code,
            jt: if_true,
            jf: if_false,
            k: value,
        })
        .collect();
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    #[expect(unsafe_code, reason = "rustix has no seccomp: one plain call on a program that lives here")]
    let result = unsafe {
        let (set, all) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
        libc::syscall(libc::SYS_seccomp, libc::c_ulong::from(set), all, &raw const filter)
    };
    match result {
        0 => Ok(()),
        1.. => Err(io::Error::other("a thread has another filter of system calls")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The filter, as bubblewrap takes it on a file descriptor. What it starts is the first process of its namespace,
/// and its threads are the next.
pub(crate) fn program() -> Vec<u8> {
    let program = instructions((2, 1 + crate::worker::THREADS));
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.if_true, instruction.if_false]);
        bytes.extend_from_slice(&instruction.value.to_ne_bytes());
    }
    bytes
}

fn instructions((first, last): (u32, u32)) -> Vec<Instruction> {
    let load = |value| Instruction { code: LOAD_WORD, if_true: 0, if_false: 0, value };
    let jump = |code, value, if_true, if_false| Instruction { code, if_true, if_false, value };
    let give = |value| Instruction { code: RETURN, if_true: 0, if_false: 0, value };
    let errno = |number: i32| ERRNO | number.cast_unsigned();

    let mut program = vec![
        load(OFFSET_ARCHITECTURE),
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        give(KILL),
        load(OFFSET_NUMBER),
        jump(JUMP_IF_GREATER_OR_EQUAL, FOREIGN_NUMBERS, 0, 1),
        give(errno(libc::ENOSYS)),
        jump(JUMP_IF_EQUAL, libc::SYS_clone3 as u32, 0, 1),
        give(errno(libc::ENOSYS)),
    ];
    for number in REFUSED {
        program.push(jump(JUMP_IF_EQUAL, *number as u32, 0, 1));
        program.push(give(errno(libc::EPERM)));
    }
    // clone and unshare both have their flags first on the architectures named above.
    for number in [libc::SYS_clone, libc::SYS_unshare] {
        program.push(jump(JUMP_IF_EQUAL, number as u32, 0, 4));
        program.push(load(OFFSET_FIRST_ARGUMENT));
        program.push(jump(JUMP_IF_ANY_BIT, NEW_NAMESPACES, 0, 1));
        program.push(give(errno(libc::EPERM)));
        program.push(give(ALLOW));
    }
    // A process may change its own limits; those of others, as the same user's execd is one, it may not.
    program.push(jump(JUMP_IF_EQUAL, libc::SYS_prlimit64 as u32, 0, 4));
    program.push(load(OFFSET_FIRST_ARGUMENT));
    program.push(jump(JUMP_IF_EQUAL, 0, 1, 0));
    program.push(give(errno(libc::EPERM)));
    program.push(give(ALLOW));
    // So is how execd is scheduled its own business, the first process and its threads; whoever is meant by 0
    // is the caller.
    let unless_ours = |offset| {
        [
            load(offset),
            jump(JUMP_IF_EQUAL, 1, 3, 0),
            jump(JUMP_IF_GREATER_OR_EQUAL, first, 0, 1),
            jump(JUMP_IF_GREATER_OR_EQUAL, last + 1, 0, 1),
            give(ALLOW),
            give(errno(libc::EPERM)),
        ]
    };
    for number in SCHEDULING {
        program.push(jump(JUMP_IF_EQUAL, *number as u32, 0, 6));
        program.extend(unless_ours(OFFSET_FIRST_ARGUMENT));
    }
    for (number, user) in PRIORITIES {
        program.push(jump(JUMP_IF_EQUAL, *number as u32, 0, 9));
        program.push(load(OFFSET_FIRST_ARGUMENT));
        program.push(jump(JUMP_IF_GREATER_OR_EQUAL, *user, 0, 1));
        program.push(give(errno(libc::EPERM)));
        program.extend(unless_ours(OFFSET_SECOND_ARGUMENT));
    }
    let exchanges = EXCHANGES.len() as u8;
    program.push(jump(JUMP_IF_EQUAL, libc::SYS_ioctl as u32, 0, exchanges + 4));
    program.push(load(OFFSET_SECOND_ARGUMENT));
    program.push(Instruction { code: AND, if_true: 0, if_false: 0, value: 0xffff });
    for (index, exchange) in EXCHANGES.iter().enumerate() {
        program.push(jump(JUMP_IF_EQUAL, *exchange, exchanges - index as u8, 0));
    }
    program.push(give(ALLOW));
    program.push(give(errno(libc::EPERM)));
    let families = FAMILIES.len() as u8;
    program.push(jump(JUMP_IF_EQUAL, libc::SYS_socket as u32, 0, families + 2));
    program.push(load(OFFSET_FIRST_ARGUMENT));
    for (index, family) in FAMILIES.iter().enumerate() {
        program.push(jump(JUMP_IF_EQUAL, family.cast_unsigned(), families - index as u8, 0));
    }
    program.push(give(errno(libc::EAFNOSUPPORT)));
    program.push(give(ALLOW));
    program
}
