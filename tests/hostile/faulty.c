/* Loaded before the C library (LD_PRELOAD): the n-th thing that is written below FAULTY_ROOT fails,
 * or the clock jumps. FAULTY_PAGE is a file of longs that the test and every process share. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITTEN, FAIL_AT, NUMBER, FOR_GOOD, ASKED, JUMP_AT, JUMP_BY, LONGS };

static long *page;
static const char *root;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTY_PAGE");
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    root = getenv("FAULTY_ROOT");
    if (!path || !root) return;
    int handle = real(path, O_RDWR);
    if (handle < 0) return;
    void *found = mmap(NULL, LONGS * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    close(handle);
    if (found != MAP_FAILED) page = found;
}

static int fails(void) {
    long count = __atomic_add_fetch(&page[WRITTEN], 1, __ATOMIC_SEQ_CST), at = page[FAIL_AT];
    if (!at || count < at || (count > at && !page[FOR_GOOD])) return 0;
    errno = (int)page[NUMBER];
    return 1;
}

static int at_path(const char *path) {
    char whole[PATH_MAX];
    if (!page || !path) return 0;
    if (path[0] != '/') { /* relative to a folder that is open: the working one, in every stage */
        if (!getcwd(whole, sizeof whole)) return 0;
        path = whole;
    }
    return !strncmp(path, root, strlen(root)) && fails();
}

static int at_handle(int handle) {
    char link[64], path[PATH_MAX];
    if (!page) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, root, strlen(root)) && fails();
}

#define NAMED(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define REAL(name) NAMED(name) /* of what `name` stands for */
#define ON_HANDLE(name, takes, gives, handle) \
    name takes { REAL(CALLED); return at_handle(handle) ? -1 : real gives; }

#define CALLED write
ssize_t ON_HANDLE(write, (int to, const void *from, size_t size), (to, from, size), to)
#undef CALLED
#define CALLED pwrite
ssize_t ON_HANDLE(pwrite, (int to, const void *from, size_t size, off_t at), (to, from, size, at), to)
#undef CALLED
#define CALLED pwrite64
ssize_t ON_HANDLE(pwrite64, (int to, const void *from, size_t size, off64_t at), (to, from, size, at), to)
#undef CALLED
#define CALLED writev
ssize_t ON_HANDLE(writev, (int to, const struct iovec *from, int count), (to, from, count), to)
#undef CALLED
#define CALLED sendfile64
ssize_t sendfile64(int to, int from, off64_t *at, size_t size);
ssize_t ON_HANDLE(sendfile64, (int to, int from, off64_t *at, size_t size), (to, from, at, size), to)
#undef CALLED
#define CALLED sendfile
ssize_t sendfile(int to, int from, off_t *at, size_t size);
ssize_t ON_HANDLE(sendfile, (int to, int from, off_t *at, size_t size), (to, from, at, size), to)
#undef CALLED
#define CALLED fsync
int ON_HANDLE(fsync, (int of), (of), of)
#undef CALLED
#define CALLED ftruncate64
int ON_HANDLE(ftruncate64, (int of, off64_t size), (of, size), of)
#undef CALLED

size_t fwrite(const void *from, size_t size, size_t count, FILE *to) {
    REAL(fwrite);
    return at_handle(fileno(to)) ? 0 : real(from, size, count, to);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return at_path(to) ? -1 : real(from, to);
}

int renameat(int old, const char *from, int new, const char *to) {
    REAL(renameat);
    return at_path(to) ? -1 : real(old, from, new, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return at_path(path) ? -1 : real(path, mode);
}

#define OPENED(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
            if (at_path(path)) return -1; \
        } \
        return real(path, flags, mode); \
    }
OPENED(open)
OPENED(open64)

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(clock_gettime);
    int code = real(which, now);
    if (page && which == CLOCK_REALTIME && page[JUMP_AT]) {
        if (__atomic_add_fetch(&page[ASKED], 1, __ATOMIC_SEQ_CST) >= page[JUMP_AT])
            now->tv_sec += page[JUMP_BY];
    }
    return code;
}
