"""Wrong clocks: a C shim in front of the system's, preloaded into each process, that adds what a file says.

Only the time of day moves; the monotonic clock is left alone, as by a person who sets a machine's clock.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

COMPILE_SECONDS_MAX = 60
OFFSET_FILE = "CHAOS_CLOCK"
_SECONDS = struct.Struct("<q")
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) offset = mapped;
}

static int64_t seconds(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real ? real(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += seconds();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""


class Clocks:
    """The clock of each process by its name. Without a C compiler they cannot be moved: `why_not` says so."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._shim = directory / "clock.so"
        self.why_not = ""
        directory.mkdir()
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.why_not = "there is no C compiler to make the clocks' shim with"
            return
        source = directory / "clock.c"
        source.write_text(_SHIM)
        made = subprocess.run(
            [compiler, "-O1", "-shared", "-fPIC", "-o", self._shim, source, "-ldl"],
            capture_output=True,
            text=True,
            timeout=COMPILE_SECONDS_MAX,
            check=False,
        )
        if made.returncode:
            self.why_not = f"the clocks' shim does not compile: {made.stderr[-200:]}"

    def environment(self, name: str) -> dict[str, str]:
        """What a process must be started with for its clock to be moved later."""
        if self.why_not:
            return {}
        if not self._file(name).exists():
            self._file(name).write_bytes(_SECONDS.pack(0))
        return {"LD_PRELOAD": str(self._shim), OFFSET_FILE: str(self._file(name))}

    def move(self, name: str, seconds: int) -> None:
        """From now on the process sees the true time and so many seconds more."""
        if self.why_not:
            return
        file = os.open(self._file(name), os.O_WRONLY)
        try:
            os.pwrite(file, _SECONDS.pack(seconds), 0)
        finally:
            os.close(file)

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.offset"
