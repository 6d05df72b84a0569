/* Preloaded into a child: makes system calls fail that SQLite and the registry make. It is armed by
   an attempt to remove "/fault-arm/<call>/<first>/<count>": the calls of that name from the first
   on, so many of them, fail with EIO, opens with EMFILE. That attempt fails with EIO if any call
   failed since the one before, else with ENOENT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

static char armed[16];
static long first, count, seen, hit;

static int faulty(const char *call) {
    if (strcmp(call, armed) != 0) return 0;
    seen++;
    if (seen < first || seen >= first + count) return 0;
    hit = 1;
    return 1;
}

int unlink(const char *path) {
    if (strncmp(path, "/fault-arm/", 11) == 0) {
        errno = hit ? EIO : ENOENT;
        seen = hit = 0;
        if (sscanf(path + 11, "%15[a-z]/%ld/%ld", armed, &first, &count) != 3) armed[0] = 0;
        return -1;
    }
    if (faulty("unlink")) { errno = EIO; return -1; }
    return ((int (*)(const char *))dlsym(RTLD_NEXT, "unlink"))(path);
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    if (faulty("open")) { errno = EMFILE; return -1; }
    return ((int (*)(const char *, int, mode_t))dlsym(RTLD_NEXT, name))(path, flags, mode);
}

#define OPEN(NAME) \
    int NAME(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        return opened(#NAME, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define SYNC(NAME) \
    int NAME(int file) { \
        if (faulty("sync")) { errno = EIO; return -1; } \
        return ((int (*)(int))dlsym(RTLD_NEXT, #NAME))(file); \
    }
SYNC(fsync)
SYNC(fdatasync)

#define WRITE(NAME, OFFSET) \
    ssize_t NAME(int file, const void *bytes, size_t length, OFFSET at) { \
        if (faulty("write")) { errno = EIO; return -1; } \
        return ((ssize_t (*)(int, const void *, size_t, OFFSET))dlsym(RTLD_NEXT, #NAME))( \
            file, bytes, length, at); \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

#define TRUNCATE(NAME, OFFSET) \
    int NAME(int file, OFFSET length) { \
        if (faulty("truncate")) { errno = EIO; return -1; } \
        return ((int (*)(int, OFFSET))dlsym(RTLD_NEXT, #NAME))(file, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
