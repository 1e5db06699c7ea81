/* Records what a process does to the files of one directory, and makes calls fail on demand.
 *
 * Preloaded into the process under test. Every write, truncate, sync, creation and removal below
 * $RECORD_DIRECTORY goes to $RECORD_LOG in the order in which it happened; with that, the disk
 * can be rebuilt as it may look after the power was lost at any moment (tests/store/disk.py).
 *
 * A record: kind (1 octet), file (4), offset (8), length (8), then `length` octets.
 *   O open or create (the file's path)    W write    T truncate (offset = new size)
 *   S sync begins    E sync ended         F sync failed     U unlink (path)
 *   C what others write down meanwhile, by appending to the log
 *
 * pwritev2 that syncs is recorded as its writes and a sync, and fails as pwrite64 and fdatasync do.
 *
 * $FAULT = "<call>:<errno>:<n>" makes the n-th call of fdatasync, fsync, pwrite64 or ftruncate
 * below the directory fail, with a '+' behind it all that follow, with "-<m>" those up to the m-th. With errno -9 the process is killed
 * instead of making that call.
 *
 * SIGRTMIN+7 kills the process as SIGKILL does, but between two records: after a SIGKILL a record
 * may be there in part, or not at all though its call was made.
 *
 * $UNREADABLE = "<offset>:<length>": this part of the database cannot be read (EIO), for as long
 * as the file $UNREADABLE_WHILE exists, or always.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t landed = PTHREAD_COND_INITIALIZER;
static int flying = 0; /* calls that are recorded and not made yet */
static uint32_t file_of[DESCRIPTORS]; /* 0: not below the directory */
static uint32_t files = 0;
static int out = -1;
static const char *directory = NULL;
static size_t directory_length = 0;
static unsigned char is_database[DESCRIPTORS];
static long long bad_offset = 0, bad_length = 0;
static const char *bad_while = NULL;
static char fault_call[32];
static int fault_errno = 0, fault_at = 0, fault_last = 0, fault_seen = 0;

static void *real(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

static void *ended(void *deadly) {
    int signal_number;
    sigwait(deadly, &signal_number);
    pthread_mutex_lock(&lock);
    while (flying)
        pthread_cond_wait(&landed, &lock);
    raise(SIGKILL);
    return NULL;
}

static void await_the_end(void) {
    static sigset_t deadly;
    pthread_t waiting;
    sigemptyset(&deadly);
    sigaddset(&deadly, SIGRTMIN + 7);
    pthread_sigmask(SIG_BLOCK, &deadly, NULL); /* all threads to come inherit it */
    if (pthread_create(&waiting, NULL, ended, &deadly) != 0)
        abort();
    pthread_detach(waiting);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RECORD_LOG");
    const char *fault = getenv("FAULT");
    const char *unreadable = getenv("UNREADABLE");
    char more = 0;
    directory = getenv("RECORD_DIRECTORY");
    if (directory == NULL)
        return;
    directory_length = strlen(directory);
    bad_while = getenv("UNREADABLE_WHILE");
    if (unreadable != NULL)
        sscanf(unreadable, "%lld:%lld", &bad_offset, &bad_length);
    if (path != NULL) {
        int (*call)(const char *, int, ...) = real("open");
        out = call(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        await_the_end();
    }
    if (fault != NULL &&
        sscanf(fault, "%31[^:]:%d:%d%c%d", fault_call, &fault_errno, &fault_at, &more,
               &fault_last) >= 3 && more != '-')
        fault_last = more == '+' ? INT32_MAX : fault_at;
}

static void record(char kind, uint32_t file, uint64_t offset, const void *octets, uint64_t length) {
    static ssize_t (*call)(int, const struct iovec *, int) = NULL;
    unsigned char head[21];
    struct iovec parts[2] = {{head, sizeof head}, {(void *)octets, length}};
    if (out < 0)
        return;
    if (call == NULL)
        call = real("writev");
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &file, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &length, 8);
    if (call(out, parts, length ? 2 : 1) != (ssize_t)(sizeof head + length))
        abort();
}

static int fails(const char *call) {
    if (fault_at == 0 || strcmp(call, fault_call) != 0)
        return 0;
    fault_seen++;
    if (fault_seen >= fault_at && fault_seen <= fault_last) {
        if (fault_errno == -SIGKILL)
            raise(SIGKILL);
        errno = fault_errno;
        return 1;
    }
    return 0;
}

static uint32_t known(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS ? file_of[descriptor] : 0;
}

static int opened(int descriptor, const char *path, int flags) {
    (void)flags;
    if (descriptor >= 0 && descriptor < DESCRIPTORS && directory != NULL &&
        strncmp(path, directory, directory_length) == 0) {
        pthread_mutex_lock(&lock);
        size_t length = strlen(path);
        file_of[descriptor] = ++files;
        is_database[descriptor] = length > 3 && strcmp(path + length - 3, ".db") == 0;
        record('O', files, 0, path, strlen(path));
        pthread_mutex_unlock(&lock);
    }
    return descriptor;
}

#define OPEN(name)                                          \
    int name(const char *path, int flags, ...) {            \
        static int (*call)(const char *, int, ...) = NULL;  \
        va_list arguments;                                  \
        mode_t mode;                                        \
        va_start(arguments, flags);                         \
        mode = va_arg(arguments, mode_t);                   \
        va_end(arguments);                                  \
        if (call == NULL)                                   \
            call = real(#name);                             \
        return opened(call(path, flags, mode), path, flags); \
    }
OPEN(open)
OPEN(open64)

int openat(int at, const char *path, int flags, ...) {
    static int (*call)(int, const char *, int, ...) = NULL;
    va_list arguments;
    mode_t mode;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (call == NULL)
        call = real("openat");
    return opened(call(at, path, flags, mode), path, flags);
}

int close(int descriptor) {
    static int (*call)(int) = NULL;
    if (call == NULL)
        call = real("close");
    if (known(descriptor))
        file_of[descriptor] = 0;
    return call(descriptor);
}

ssize_t write(int descriptor, const void *octets, size_t length) {
    static ssize_t (*call)(int, const void *, size_t) = NULL;
    uint32_t file = known(descriptor);
    ssize_t done;
    if (call == NULL)
        call = real("write");
    if (!file)
        return call(descriptor, octets, length);
    pthread_mutex_lock(&lock);
    off_t at = lseek(descriptor, 0, SEEK_CUR);
    done = call(descriptor, octets, length);
    if (done > 0)
        record('W', file, (uint64_t)at, octets, (uint64_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

#define PWRITE(name, offset_type)                                                 \
    ssize_t name(int descriptor, const void *octets, size_t length, offset_type at) { \
        static ssize_t (*call)(int, const void *, size_t, offset_type) = NULL;    \
        uint32_t file = known(descriptor);                                        \
        ssize_t done;                                                             \
        if (call == NULL)                                                         \
            call = real(#name);                                                   \
        if (!file)                                                                \
            return call(descriptor, octets, length, at);                          \
        pthread_mutex_lock(&lock);                                                \
        if (fails("pwrite64")) {                                                  \
            pthread_mutex_unlock(&lock);                                          \
            return -1;                                                            \
        }                                                                         \
        done = call(descriptor, octets, length, at);                              \
        if (done > 0)                                                             \
            record('W', file, (uint64_t)at, octets, (uint64_t)done);              \
        pthread_mutex_unlock(&lock);                                              \
        return done;                                                              \
    }
static int is_bad(int descriptor, long long offset, long long length) {
    if (!bad_length || !known(descriptor) || !is_database[descriptor])
        return 0;
    if (offset >= bad_offset + bad_length || offset + length <= bad_offset)
        return 0;
    return bad_while == NULL || access(bad_while, F_OK) == 0;
}

#define PREAD(name, offset_type)                                              \
    ssize_t name(int descriptor, void *octets, size_t length, offset_type at) { \
        static ssize_t (*call)(int, void *, size_t, offset_type) = NULL;      \
        if (call == NULL)                                                     \
            call = real(#name);                                               \
        if (is_bad(descriptor, at, (long long)length)) {                      \
            errno = EIO;                                                      \
            return -1;                                                        \
        }                                                                     \
        return call(descriptor, octets, length, at);                          \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_type)                        \
    int name(int descriptor, offset_type size) {           \
        static int (*call)(int, offset_type) = NULL;       \
        uint32_t file = known(descriptor);                 \
        int done;                                          \
        if (call == NULL)                                  \
            call = real(#name);                            \
        if (!file)                                         \
            return call(descriptor, size);                 \
        pthread_mutex_lock(&lock);                         \
        done = fails("ftruncate") ? -1 : call(descriptor, size); \
        if (done == 0)                                     \
            record('T', file, (uint64_t)size, NULL, 0);    \
        pthread_mutex_unlock(&lock);                       \
        return done;                                       \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                   \
    int name(int descriptor) {                       \
        static int (*call)(int) = NULL;              \
        uint32_t file = known(descriptor);           \
        int done;                                    \
        if (call == NULL)                            \
            call = real(#name);                      \
        if (!file)                                   \
            return call(descriptor);                 \
        pthread_mutex_lock(&lock);                   \
        if (fails(#name)) {                          \
            record('F', file, 0, NULL, 0);           \
            pthread_mutex_unlock(&lock);             \
            return -1;                               \
        }                                            \
        record('S', file, 0, NULL, 0);               \
        pthread_mutex_unlock(&lock);                 \
        done = call(descriptor);                     \
        pthread_mutex_lock(&lock);                   \
        if (done == 0)                               \
            record('E', file, 0, NULL, 0);           \
        pthread_mutex_unlock(&lock);                 \
        return done;                                 \
    }
SYNC(fdatasync)
SYNC(fsync)

#define PWRITEV2(name, offset_type)                                                        \
    ssize_t name(int descriptor, const struct iovec *parts, int count, offset_type at,     \
                 int flags) {                                                              \
        static ssize_t (*call)(int, const struct iovec *, int, offset_type, int) = NULL;   \
        uint32_t file = known(descriptor);                                                 \
        uint64_t place = (uint64_t)at;                                                     \
        int syncs = flags != 0, lost = 0;                                                  \
        ssize_t done;                                                                      \
        if (call == NULL)                                                                  \
            call = real(#name);                                                            \
        if (!file)                                                                         \
            return call(descriptor, parts, count, at, flags);                              \
        pthread_mutex_lock(&lock);                                                         \
        if (fails("pwrite64")) {                                                           \
            pthread_mutex_unlock(&lock);                                                   \
            return -1;                                                                     \
        }                                                                                  \
        lost = syncs && fails("fdatasync") ? errno : 0;                                    \
        for (int part = 0; part < count; part++) {                                         \
            record('W', file, place, parts[part].iov_base, parts[part].iov_len);           \
            place += parts[part].iov_len;                                                  \
        }                                                                                  \
        if (syncs)                                                                         \
            record(lost ? 'F' : 'S', file, 0, NULL, 0);                                    \
        flying++;                                                                          \
        pthread_mutex_unlock(&lock);                                                       \
        done = call(descriptor, parts, count, at, lost ? 0 : flags);                       \
        pthread_mutex_lock(&lock);                                                         \
        flying--;                                                                          \
        pthread_cond_signal(&landed);                                                      \
        pthread_mutex_unlock(&lock);                                                       \
        if ((uint64_t)at + (uint64_t)(done < 0 ? 0 : done) != place)                       \
            abort(); /* a full disk is not what these tests are about */                   \
        if (lost) {                                                                        \
            errno = lost;                                                                  \
            return -1;                                                                     \
        }                                                                                  \
        if (syncs) {                                                                       \
            pthread_mutex_lock(&lock);                                                     \
            record('E', file, 0, NULL, 0);                                                 \
            pthread_mutex_unlock(&lock);                                                   \
        }                                                                                  \
        return done;                                                                       \
    }
PWRITEV2(pwritev2, off_t)
PWRITEV2(pwritev64v2, off64_t)

int unlink(const char *path) {
    static int (*call)(const char *) = NULL;
    int done;
    if (call == NULL)
        call = real("unlink");
    pthread_mutex_lock(&lock);
    done = call(path);
    if (done == 0 && directory != NULL && strncmp(path, directory, directory_length) == 0)
        record('U', 0, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    return done;
}
