// Loaded before the C library: a clock that jumps once the file $JUMP_FILE is there, by $JUMP_S seconds, and a disk that
// takes $SLOW_US for each write to a journal and for each sync.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
  const char *file = getenv("JUMP_FILE"), *seconds = getenv("JUMP_S");
  int code = syscall(SYS_clock_gettime, id, at);
  if (code == 0 && id == CLOCK_REALTIME && file && seconds && access(file, F_OK) == 0) at->tv_sec += atoll(seconds);
  return code;
}

static void delay(void) {
  const char *slow = getenv("SLOW_US");
  if (slow) usleep(atoi(slow));
}

ssize_t write(int fd, const void *bytes, size_t count) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length > 8 && memcmp(path + length - 8, ".journal", 8) == 0) delay();
  return syscall(SYS_write, fd, bytes, count);
}

int fdatasync(int fd) {
  delay();
  return syscall(SYS_fdatasync, fd);
}
