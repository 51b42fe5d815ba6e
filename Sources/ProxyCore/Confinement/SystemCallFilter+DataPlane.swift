// The calls of a proxy that has started: what workers, control, access log, resolver and endpoints make from then on,
// by purpose. Found with strace(1) over the loopback and mesh tests on both engines; docs/testing.md says how to look
// again. A call that is missing here fails with ENOSYS, and the kernel's audit log names it.

import CLinux
import Glibc

extension SystemCallFilter {
  static let dataPlane: SystemCallFilter = {
    var filter = SystemCallFilter()
    filter.allowTraffic()
    filter.allowMemoryAndThreads()
    filter.allowRings()
    filter.allowSockets()
    filter.allowFiles()
    filter.allowTheRest()
    return filter
  }()

  /// Once per message or per turn of a loop: first, because older kernels go through the list for each call.
  private mutating func allowTraffic() {
    allow(
      SYS_io_uring_enter, SYS_epoll_pwait, SYS_recvfrom, SYS_sendto, SYS_splice, SYS_read, SYS_write, SYS_futex,
      SYS_accept4, SYS_epoll_ctl, SYS_close, SYS_shutdown, SYS_connect, SYS_ppoll, SYS_clock_gettime, SYS_writev)
    #if arch(x86_64)
      // Newer architectures have only the general form of these.
      allow(SYS_epoll_wait, SYS_poll)
    #endif
  }

  /// Memory that is code is mapped from a file (a name-service module of the C library) and never writable. Threads are
  /// started, processes are not: clone3(2) hides its flags behind a pointer, and is left out for clone(2)'s sake.
  private mutating func allowMemoryAndThreads() {
    let code = UInt32(PROT_EXEC)
    allow(
      SYS_mmap,
      when: [
        [.argument(2, mask: code, is: 0)],
        [
          .argument(2, mask: code | UInt32(PROT_WRITE), is: code),
          .argument(3, mask: UInt32(MAP_ANONYMOUS), is: 0),
        ],
      ])
    allow(SYS_mprotect, when: [[.argument(2, mask: code, is: 0)]])
    allow(SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk)
    let thread = UInt32(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
    allow(SYS_clone, when: [[.argument(0, mask: thread, is: thread)]])
    allow(
      SYS_set_robust_list, SYS_rseq, SYS_exit, SYS_exit_group, SYS_gettid, SYS_getpid, SYS_sched_yield,
      SYS_sched_getaffinity, SYS_membarrier)
    // The name of a thread, and of a mapping (glibc 2.38).
    allow(SYS_prctl, when: [[.argument(0, is: UInt32(PR_SET_NAME))], [.argument(0, is: Self.nameMapping)]])
  }

  /// PR_SET_VMA of linux/prctl.h.
  private static let nameMapping: UInt32 = 0x5356_4d41

  /// A worker enables its ring on its own thread, perhaps after the filter is there. New rings are not to be had: this one
  /// takes only the operations that it was restricted to (`Ring+Restrictions.swift`), a new one would take all.
  private mutating func allowRings() {
    // The uppermost bit says that the ring itself is named by its registered descriptor.
    let operations: [RingRegistration] = [.enable, .limitWorkers, .registerRing, .unregisterRing]
    allow(SYS_io_uring_register, when: operations.map { [.argument(1, mask: 0x7fff_ffff, is: $0.rawValue)] })
  }

  /// linux/io_uring.h, enum io_uring_register_op.
  private enum RingRegistration: UInt32 {
    case enable = 12
    case limitWorkers = 19
    case registerRing = 20
    case unregisterRing = 21
  }

  /// TCP and Unix sockets for traffic, datagrams and netlink for getaddrinfo(3). Listeners come with a reload.
  private mutating func allowSockets() {
    let families = [AF_INET, AF_INET6, AF_UNIX, AF_NETLINK]
    allow(SYS_socket, when: families.map { [.argument(0, is: UInt32($0))] })
    allow(
      SYS_bind, SYS_listen, SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_sendmsg, SYS_recvmsg,
      SYS_sendmmsg, SYS_recvmmsg, SYS_pipe2, SYS_eventfd2, SYS_epoll_create1, SYS_timerfd_create, SYS_timerfd_settime)
    #if arch(x86_64)
      // SwiftNIO's way to one.
      allow(SYS_epoll_create)
    #endif
    // What is readable, non-blocking mode, the size of a terminal that the log may be.
    let controls = [FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ]
    allow(SYS_ioctl, when: controls.map { [.argument(1, is: UInt32($0))] })
  }

  /// Configuration, certificates, access log, name-service files, /proc: which of them is Landlock's business.
  private mutating func allowFiles() {
    allow(
      SYS_openat, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_lseek, SYS_pread64, SYS_readv, SYS_getdents64,
      SYS_readlinkat, SYS_faccessat, SYS_faccessat2, SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_fcntl,
      SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_inotify_init1)
    // The C library of Debian 13 (glibc 2.41) asks what a file is on; that of Debian 12 doesn't.
    allow(SYS_statfs)
    #if arch(x86_64)
      allow(SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_rename, SYS_unlink)
    #endif
  }

  /// Signals, sleep, limits and facts.
  private mutating func allowTheRest() {
    allow(
      SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall, SYS_nanosleep,
      SYS_clock_nanosleep, SYS_clock_getres, SYS_gettimeofday, SYS_getrandom, SYS_getrusage, SYS_getuid, SYS_geteuid,
      SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo)
    // abort(3) signals its own thread. No other process gets a signal.
    allow(SYS_tgkill, when: [[.argument(0, is: UInt32(bitPattern: getpid()))]])
    // SwiftNIO shuts down on a queue of libdispatch, whose threads set their own nice value.
    allow(SYS_setpriority, when: [[.argument(0, is: UInt32(PRIO_PROCESS.rawValue)), .argument(1, is: 0)]])
    // Reading limits, not setting them.
    allow(SYS_prlimit64, when: [Test.isNull(2)])
  }
}
