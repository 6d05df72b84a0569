/* Makes system calls fail that SQLite and the registry make. It is loaded before libc into a child
 * process, which controls it in one of two ways.
 *
 * By path: FAULTY_DISK names a file with one line: the call that fails, the suffix of the paths on
 * which it fails, the errno, the offset from which on it fails, and the occurrence that fails: 0
 * for every one, or n for the nth only. Without that file nothing fails. Of the opens only those
 * for writing fail.
 *
 * By number: an attempt to remove "/fault-arm/<call>/<first>/<count>" arms the calls of that name
 * from the first on, so many of them, on whatever file. They fail with EIO, opens with EMFILE. That
 * attempt fails with EIO if any call failed since the one before, else with ENOENT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(const char *call, const char *path, long long offset) {
    const char *control = getenv("FAULTY_DISK");
    if (control == NULL || path == NULL) return 0;
    int saved = errno;
    char line[256] = {0}, which[32], suffix[128];
    long long from;
    int code, time;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno = saved, 0;
    long got = syscall(SYS_read, fd, line, sizeof line - 1);
    syscall(SYS_close, fd);
    errno = saved;
    if (got <= 0) return 0;
    if (sscanf(line, "%31s %127s %d %lld %d", which, suffix, &code, &from, &time) != 5) return 0;
    size_t length = strlen(path), end = strlen(suffix);
    if (strcmp(which, call) != 0 || offset < from) return 0;
    if (length < end || strcmp(path + length - end, suffix) != 0) return 0;
    if (time > 1) {
        int count = snprintf(line, sizeof line, "%s %s %d %lld %d\n",
                             which, suffix, code, from, time - 1);
        fd = (int)syscall(SYS_openat, AT_FDCWD, control, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd >= 0) {
            syscall(SYS_write, fd, line, count);
            syscall(SYS_close, fd);
        }
        return errno = saved, 0;
    }
    if (time == 1 && syscall(SYS_unlinkat, AT_FDCWD, control, 0) != 0) return errno = saved, 0;
    errno = code;
    return 1;
}

static char armed[16];
static long first, count, seen, hit;

static int fails_by_number(const char *call, int code) {
    if (strcmp(call, armed) != 0) return 0;
    seen++;
    if (seen < first || seen >= first + count) return 0;
    hit = 1;
    errno = code;
    return 1;
}

static int fails_on(const char *call, int fd, long long offset) {
    int saved = errno;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long got = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = saved;
    if (got <= 0) return 0;
    path[got] = 0;
    return fails(call, path, offset);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define HERE(fd) ((long long)lseek(fd, 0, SEEK_CUR))

#define OPENS(name)                                                             \
    int name(const char *path, int flags, ...) {                                \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        unsigned mode = va_arg(more, unsigned);                                 \
        va_end(more);                                                           \
        if (fails_by_number("open", EMFILE)) return -1;                         \
        if ((flags & O_ACCMODE) != O_RDONLY && fails("open", path, 0)) return -1; \
        return REAL(name)(path, flags, mode);                                   \
    }
OPENS(open)
OPENS(open64)

ssize_t read(int fd, void *to, size_t count) {
    return fails_on("read", fd, HERE(fd)) ? -1 : REAL(read)(fd, to, count);
}
ssize_t pread(int fd, void *to, size_t count, off_t at) {
    return fails_on("read", fd, at) ? -1 : REAL(pread)(fd, to, count, at);
}
ssize_t pread64(int fd, void *to, size_t count, off64_t at) {
    return fails_on("read", fd, at) ? -1 : REAL(pread64)(fd, to, count, at);
}
ssize_t write(int fd, const void *from, size_t count) {
    return fails_on("write", fd, HERE(fd)) ? -1 : REAL(write)(fd, from, count);
}
ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    if (fails_by_number("write", EIO)) return -1;
    return fails_on("write", fd, at) ? -1 : REAL(pwrite)(fd, from, count, at);
}
ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    if (fails_by_number("write", EIO)) return -1;
    return fails_on("write", fd, at) ? -1 : REAL(pwrite64)(fd, from, count, at);
}
int ftruncate(int fd, off_t size) {
    if (fails_by_number("truncate", EIO)) return -1;
    return fails_on("truncate", fd, size) ? -1 : REAL(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    if (fails_by_number("truncate", EIO)) return -1;
    return fails_on("truncate", fd, size) ? -1 : REAL(ftruncate64)(fd, size);
}
void *mmap(void *to, size_t size, int how, int flags, int fd, off_t at) {
    if (fd >= 0 && fails_on("map", fd, at)) return MAP_FAILED;
    return REAL(mmap)(to, size, how, flags, fd, at);
}
void *mmap64(void *to, size_t size, int how, int flags, int fd, off64_t at) {
    if (fd >= 0 && fails_on("map", fd, at)) return MAP_FAILED;
    return REAL(mmap64)(to, size, how, flags, fd, at);
}
int fstat(int fd, struct stat *to) {
    return fails_on("stat", fd, 0) ? -1 : REAL(fstat)(fd, to);
}
int fstat64(int fd, struct stat64 *to) {
    return fails_on("stat", fd, 0) ? -1 : REAL(fstat64)(fd, to);
}
int stat(const char *path, struct stat *to) {
    return fails("stat", path, 0) ? -1 : REAL(stat)(path, to);
}
int stat64(const char *path, struct stat64 *to) {
    return fails("stat", path, 0) ? -1 : REAL(stat64)(path, to);
}
int statx(int folder, const char *path, int flags, unsigned mask, struct statx *to) {
    return fails("stat", path, 0) ? -1 : REAL(statx)(folder, path, flags, mask, to);
}
int fsync(int fd) {
    return fails_by_number("sync", EIO) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd) {
    return fails_by_number("sync", EIO) ? -1 : REAL(fdatasync)(fd);
}
int unlink(const char *path) {
    if (strncmp(path, "/fault-arm/", 11) == 0) {
        errno = hit ? EIO : ENOENT;
        seen = hit = 0;
        if (sscanf(path + 11, "%15[a-z]/%ld/%ld", armed, &first, &count) != 3) armed[0] = 0;
        return -1;
    }
    return fails_by_number("unlink", EIO) ? -1 : REAL(unlink)(path);
}
