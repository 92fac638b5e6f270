"""What strace 6.1 writes, read: its format, and what in it is cut, escaped or interleaved."""

from tradewind.audit.tracing.strace_text import StraceText, unescaped

PLAIN = """\
10  1.000000 access("/before", F_OK) = 0
11  1.500000 openat(AT_FDCWD</>, "/launcher", O_RDONLY) = 3</launcher>
12  1.900000 chdir("/srv") = 0
12  2.000000 access("/.marker", F_OK) = -1 ENOENT (No such file or directory)
12  2.100000 execve("/bin/sh", ["s"...], 0x7ffd /* 3 vars */) = 0
12  2.200000 access("/etc/ld.so.preload", R_OK) = -1 ENOENT (No such file or directory)
12  2.300000 openat(AT_FDCWD</srv>, "lib/../x", O_RDONLY|O_CLOEXEC) = 3</srv/x>
12  2.310000 newfstatat(3</srv/x>, "", {st_mode=S_IFREG|0644, st_size=5041, ...}, AT_EMPTY_PATH) = 0
12  2.400000 newfstatat(5</a,"b\\74>, "c", {st_mode=S_IFREG|0644}, 0) = 0
12  2.500000 readlink("rel", 0x7ffdb6e476a0, 4096) = -1 EINVAL (Invalid argument)
12  2.600000 vfork( <unfinished ...>
13  2.700000 chdir("/usr") = 0
13  2.800000 execve("bin/true", ["t"...], 0x7ffd /* 38 vars */ <unfinished ...>
12  2.900000 <... vfork resumed>) = 13
13  3.000000 <... execve resumed>) = 0
13  3.100000 openat(AT_FDCWD</usr>, "caf\\303\\251", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</usr/caf\\303\\251>
11  3.200000 openat(AT_FDCWD</>, "/launcher-again", O_RDONLY) = 3</launcher-again>
13  3.300000 rename("a", "/b") = 0
13  3.400000 +++ exited with 0 +++
12  3.500000 --- SIGCHLD {si_signo=SIGCHLD} ---
12  3.600000 openat(AT_FDCWD</srv>, "last", O_RDWR <unfinished ...>
12  3.700000 +++ killed by SIGKILL +++
"""


def told(text: str, marker: str = "/.marker") -> tuple[list[tuple], StraceText]:
    reader = StraceText(marker)
    events = list(reader.read(line + b"\n" for line in text.encode().splitlines()))
    return [(e.pid, e.op, e.path, e.ok) for e in events], reader


def test_calls_of_the_workload_alone_are_told_with_absolute_paths():
    events, reader = told(PLAIN)
    assert events == [
        (12, "execute", "/bin/sh", True),
        (12, "stat", "/etc/ld.so.preload", False),
        (12, "open", "/srv/lib/../x", True),
        (12, "stat", '/a,"b</c', True),
        (12, "readlink", "/srv/rel", False),
        (13, "stat", "/usr", True),
        (13, "execute", "/usr/bin/true", True),
        (13, "write", "/usr/café", True),
        (13, "write", "/usr/a", True),
        (13, "write", "/b", True),
        (12, "open", "/srv/last", True),
        (12, "write", "/srv/last", True),
    ]
    assert reader.lost == 0


def test_moments_begin_at_the_marker_and_programs_are_known_by_process():
    reader = StraceText("/.marker")
    events = list(reader.read(PLAIN.encode().splitlines()))
    assert events[0].ts == 0.1 and events[0].exe == "/bin/sh"
    assert [e.exe for e in events if e.pid == 13] == ["/bin/sh", "/usr/bin/true"] + 3 * ["/usr/bin/true"]


def test_without_a_marker_everything_is_the_workloads():
    events, _ = told(PLAIN, marker="")
    assert events[0] == (10, "stat", "/before", True)


def test_a_child_of_two_makers_with_two_folders_has_none_until_it_tells():
    events, reader = told(
        """\
1 1.0 chdir("/a") = 0
1 1.1 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
2 1.2 chdir("/b") = 0
2 1.3 clone3({flags=CLONE_VFORK}, 88 <unfinished ...>
3 1.4 stat("x", {st_mode=S_IFREG}) = 0
1 1.5 <... clone resumed>) = 3
3 1.6 stat("y", {st_mode=S_IFREG}) = 0
""",
        marker="",
    )
    assert reader.lost == 1
    assert events[-1] == (3, "stat", "/a/y", True)


def test_fchdir_moves_and_a_failed_chdir_does_not():
    events, _ = told(
        """\
1 1.0 fchdir(3</var/lib>) = 0
1 1.1 chdir("nowhere") = -1 ENOENT (No such file or directory)
1 1.2 stat("x", 0x1) = -1 ENOENT (No such file or directory)
""",
        marker="",
    )
    assert [path for _, _, path, _ in events] == ["/var/lib/nowhere", "/var/lib/x"]


def test_a_thread_that_executes_becomes_its_process():
    events, reader = told(
        """\
1 1.0 chdir("/a") = 0
5 1.1 execve("/bin/true", ["t"...], 0x7 <unfinished ...>
1 1.2 +++ superseded by execve in pid 5 +++
1 1.3 <... execve resumed>) = 0
""",
        marker="",
    )
    assert events[-1] == (1, "execute", "/bin/true", True) and reader.lost == 0


def test_what_cannot_be_understood_is_counted():
    _, reader = told(
        'nonsense\n1 1.0 stat("relative", 0x1) = 0\n1 1.1 <... stat resumed>0x1) = 0\n', marker=""
    )
    assert reader.lost == 3


def test_a_null_path_names_nothing():
    events, reader = told("1 1.0 openat(AT_FDCWD</>, NULL, O_RDONLY) = -1 EFAULT (Bad address)\n", marker="")
    assert (events, reader.lost) == ([], 0)


def test_opens_are_told_by_what_they_are_for():
    flags = {
        "O_RDONLY": ["open"],
        "O_RDONLY|O_CREAT, 0666": ["open", "write"],
        "O_RDWR": ["open", "write"],
        "O_RDWR|O_TRUNC": ["write"],
        "O_WRONLY|O_APPEND": ["write"],
        "O_RDONLY|O_PATH": ["stat"],
        "{flags=O_RDONLY|O_CLOEXEC, resolve=0}, 24": ["open"],
    }
    for text, expected in flags.items():
        name = "openat2" if text.startswith("{") else "openat"
        events, _ = told(f'1 1.0 {name}(AT_FDCWD</>, "/O_WRONLY", {text}) = 3</x>\n', marker="")
        assert [op for _, op, _, _ in events] == expected, text


def test_escapes_of_every_kind():
    assert unescaped(rb"a\"b\\c\n\t\0\1772\x41\e") == 'a"b\\c\n\t\0\x7f2A\x1b'
    assert unescaped(rb"\377").encode("utf-8", "surrogateescape") == b"\xff"


def test_numbers_that_are_none_are_lost_lines():
    events, reader = told(
        f'{"1" * 5000}  1.0 open("/a", O_RDONLY) = 3\n12  2.0 open("/b", O_RDONLY) = 3\n', ""
    )
    assert [path for _, _, path, _ in events] == ["/b"] and reader.lost == 1


def test_an_unfinished_line_of_any_bytes_is_passed_over():
    lines = [b"12  1.0 \xf6\xff <unfinished ...>\n", b'13  2.0 open("/b", O_RDONLY) = 3\n']
    reader = StraceText()
    assert [event.path for event in reader.read(lines)] == ["/b"] and reader.lost == 1
