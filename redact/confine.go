package redact

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// childArg is the first argument of this program when it runs as a child of the engine.
const childArg = "sandbox-child"

// Child runs this process as one of the engine's children when it was started as one; ran is then true
// and the process should exit with code. Every program that uses an [Engine] calls it first in main,
// and tests in TestMain.
func Child() (code int, ran bool) {
	if len(os.Args) < 3 || os.Args[1] != childArg {
		return 0, false
	}
	var err error
	switch os.Args[2] {
	case "confine":
		err = confine(os.Args[3:])
	case "selftest":
		err = selftest()
	case "look":
		err = lookChild(os.Args[3:], os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("%q is not a task of a child", os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// confine takes away what the tool must not have, and becomes it.
func confine(args []string) error {
	if len(args) != 1 {
		return errors.New("confine takes one argument")
	}
	var c confinement
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil || len(c.Argv) == 0 {
		return fmt.Errorf("read the confinement: %w", err)
	}
	for what, n := range map[int]int64{unix.RLIMIT_CPU: c.Limits.CPU, unix.RLIMIT_FSIZE: c.Limits.File, unix.RLIMIT_AS: c.Limits.Memory,
		unix.RLIMIT_NOFILE: c.Limits.Files, unix.RLIMIT_NPROC: 4096} {
		if n == 0 {
			continue
		}
		if err := setLimit(what, uint64(n)); err != nil {
			return fmt.Errorf("set limit %d: %w", what, err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if c.Kind == byLandlock {
		if err := restrict(c); err != nil {
			return err
		}
	}
	return syscall.Exec(c.Argv[0], c.Argv, os.Environ())
}

func setLimit(what int, n uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(what, &now); err != nil {
		return err
	}
	n = min(n, now.Max)
	return unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n})
}

// restrict confines this process with Landlock and seccomp. It fails when the kernel cannot do all of it.
func restrict(c confinement) error {
	rules := []landlock.Rule{
		landlock.RODirs("/usr", "/lib", "/proc").IgnoreIfMissing(),
		landlock.RODirs("/lib64", "/bin", "/etc/alternatives").IgnoreIfMissing(),
		landlock.ROFiles("/etc/ld.so.cache", "/dev/urandom", "/dev/random").IgnoreIfMissing(),
		landlock.RWFiles("/dev/null", "/dev/zero").IgnoreIfMissing(),
	}
	for _, p := range append(c.Reads, c.Argv[0]) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if info.IsDir() {
			rules = append(rules, landlock.RODirs(p))
		} else {
			rules = append(rules, landlock.ROFiles(p))
		}
	}
	for _, p := range c.Writes {
		rules = append(rules, landlock.RWDirs(p))
	}
	// Version 2 is what the kernel of Debian 12 has; seccomp closes the network, which it does not cover.
	if err := landlock.V2.RestrictPaths(rules...); err != nil {
		return fmt.Errorf("confine files with Landlock: %w", err)
	}
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy()}); err != nil {
		return fmt.Errorf("confine system calls: %w", err)
	}
	return nil
}

// policy forbids what no decoder and no detector needs: network, other processes, the kernel's insides.
func policy() seccomp.Policy {
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{{
			Action: seccomp.ActionErrno,
			Names: []string{"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
				"ptrace", "process_vm_readv", "process_vm_writev", "kill", "pidfd_open", "pidfd_getfd", "pidfd_send_signal",
				"mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "bpf", "perf_event_open", "userfaultfd",
				"keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
				"io_uring_setup", "io_uring_enter", "io_uring_register", "open_by_handle_at", "name_to_handle_at", "swapon", "swapoff",
				"reboot", "settimeofday", "clock_settime", "personality", "acct", "quotactl", "syslog", "lookup_dcookie",
				"move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mbind", "migrate_pages", "move_pages", "vhangup",
			},
		}},
	}
}

// seccompFile returns the filter in the form that bubblewrap reads, ready at its start.
func seccompFile() (*os.File, error) {
	p := policy()
	prog, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "filter")
	for _, i := range raw {
		if err := binary.Write(f, binary.LittleEndian, struct {
			Op     uint16
			Jt, Jf uint8
			K      uint32
		}{i.Op, i.Jt, i.Jf, i.K}); err != nil {
			f.Close()
			return nil, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// selftest runs inside the sandbox and fails when it can do what it must not.
func selftest() error {
	for _, p := range []string{"/etc/passwd", "/etc/shadow", "/root", "/home", "/var"} {
		f, err := os.Open(p)
		if err == nil {
			f.Close()
			return fmt.Errorf("%s can be opened in the sandbox", p)
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s: unexpected %w", p, err)
		}
	}
	if c, err := net.Dial("udp4", "127.0.0.1:9"); err == nil {
		c.Close()
		return errors.New("the network can be used in the sandbox")
	}
	return nil
}
