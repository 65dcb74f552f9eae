/*
 * What the keyring needs no more once it has its identity: no files, no network, no processes. A short list of refused calls is enough, since
 * the identity can only leave through a descriptor, and this takes away the making of descriptors; core passes in pipes only.
 */
#include "dispatcher/keyring/keyring.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define DESCRIPTORS 1100 /* a pipe for each action that a dispatcher can have under way, and a few of its own */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH

#define X32_BIT 0x40000000u /* x86-64's second set of numbers */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSE ANSWER(SECCOMP_RET_ERRNO | EPERM)
#define NOT(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), REFUSE

static int filter_calls(void)
{
	struct sock_filter filter[] = {
	    LOAD(arch),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
	    ANSWER(SECCOMP_RET_KILL_PROCESS),
	    LOAD(nr),
	    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
	    REFUSE,
#ifdef __NR_open
	    NOT(open),
	    NOT(creat),
	    NOT(fork),
	    NOT(vfork),
#endif
	    NOT(openat),
	    NOT(openat2),
	    NOT(open_by_handle_at),
	    NOT(memfd_create),
	    NOT(socket),
	    NOT(socketpair),
	    NOT(connect),
	    NOT(bind),
	    NOT(listen),
	    NOT(io_uring_setup),
	    NOT(clone),
	    NOT(clone3),
	    NOT(execve),
	    NOT(execveat),
	    NOT(ptrace),
	    NOT(process_vm_readv),
	    NOT(process_vm_writev),
	    NOT(pidfd_getfd),
	    NOT(pidfd_open),
	    NOT(kill),
	    NOT(tkill),
	    NOT(mount),
	    NOT(bpf),
	    NOT(keyctl),
	    ANSWER(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(*filter), .filter = filter};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#else

static int filter_calls(void)
{
	return 0; /* an architecture whose calls nobody listed: the limits below are what there is */
}

#endif

int keyring_seal(struct err *err)
{
	struct rlimit files, none = {0, 0};
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_errno(err, errno, "get limits");
	files.rlim_max = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_errno(err, errno, "set limits");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(err, errno, "set no-new-privileges");
	/* A kernel without seccomp filters is no reason to run nothing. */
	if (filter_calls() < 0 && errno != EINVAL && errno != ENOSYS)
		return err_errno(err, errno, "set the filter of system calls");
	return 0;
}
