/* One task of the soak: task LEDGER KEY MILLISECONDS WHAT. It says in the ledger, one write a line, that it began, works
   for a while, and says that it ended; then it does WHAT: ok, fail, crash, hang, or file (which writes `made`). The
   parent is the keeper, whose pid tells which worker this was. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int ledger;

static void say(const char *what, const char *key) {
  char host[64], line[256];
  gethostname(host, sizeof host);
  int n = snprintf(line, sizeof line, "%s %s %s %d %d\n", what, key, host, getppid(), getpid());
  if (write(ledger, line, n) != n) exit(99);
}

int main(int argc, char **argv) {
  if (argc != 5) return 98;
  const char *key = argv[2], *what = argv[4];
  long ms = atol(argv[3]);
  ledger = open(argv[1], O_WRONLY | O_APPEND | O_CLOEXEC);
  if (ledger < 0) return 97;
  say("begin", key);
  struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&nap, NULL);
  if (!strcmp(what, "hang")) sleep(600);
  if (!strcmp(what, "file")) {
    FILE *made = fopen("made", "w");
    if (!made || fprintf(made, "%s\n", key) < 0 || fclose(made)) return 96;
  }
  say("end", key);
  printf("%s\n", key);
  if (!strcmp(what, "crash")) abort();
  return strcmp(what, "fail") ? 0 : 3;
}
