// Counts the calls that make a file durable and makes each of them slower, for the bench of effects.
// SLOW_FSYNC_COUNT names the file that holds the count, SLOW_FSYNC_MICROS the pause.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t *count;
static useconds_t pause_micros;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SLOW_FSYNC_COUNT"), *micros = getenv("SLOW_FSYNC_MICROS");
    pause_micros = micros ? (useconds_t)atoi(micros) : 0;
    int file = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof *count) != 0) return;
    void *map = mmap(0, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) count = map;
    close(file);
}

static int slowly(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (count) ++*count;
    if (pause_micros) usleep(pause_micros);
    return real(file);
}

int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
