/* Moves a simulated line, and writes down when (CLOCK_MONOTONIC, ns, before the write) and to what. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static int line, invert;
static FILE *out;
static long long now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
static void till(long long at) { struct timespec t = {at / 1000000000LL, at % 1000000000LL}; clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0); }
static void move(int active) {
  const char *to = active != invert ? "pull-up" : "pull-down";
  long long at = now();
  if (pwrite(line, to, strlen(to), 0) < 0) { perror("pull"); exit(1); }
  fprintf(out, "%lld %d\n", at, active);
}
/* sim now | set LINE ACTIVE LOG | train LINE ON_MS PERIOD_MS COUNT BOUNCES LOG | spikes LINE MS COUNT LOG | burst LINE EDGES APART_US LOG (ends active); a LINE that begins with ! is active low */
int main(int n, char **a) {
  if (!strcmp(a[1], "now")) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    printf("%lld %lld\n", now(), t.tv_sec * 1000000000LL + t.tv_nsec);
    return 0;
  }
  const char *path = a[2];
  if (*path == '!') invert = 1, path++;
  line = open(path, O_WRONLY);
  out = fopen(a[n - 1], "a");
  if (line < 0 || !out) { perror(path); return 1; }
  long long at = now() + 1000000;
  if (!strcmp(a[1], "set")) move(atoi(a[3]));
  if (!strcmp(a[1], "train")) {
    long long on = atoll(a[3]) * 1000000, period = atoll(a[4]) * 1000000;
    int count = atoi(a[5]), bounces = atoi(a[6]);
    for (int i = 0; i < count; i++, at += period) {
      till(at);
      for (int b = 0; b < bounces; b++) { move(1); till(now() + 1000000); move(0); till(now() + 1000000); }
      move(1);
      till(now() + on);
      for (int b = 0; b < bounces; b++) { move(0); till(now() + 1000000); move(1); till(now() + 1000000); }
      move(0);
      fflush(out);
    }
  }
  if (!strcmp(a[1], "spikes")) for (int i = 0; i < atoi(a[4]); i++) {
    move(1); till(now() + atoll(a[3]) * 1000000); move(0); till(now() + 100000000);
  }
  if (!strcmp(a[1], "burst")) { 
    int edges = atoi(a[3]), apart = atoi(a[4]) * 1000;
    for (int i = 0; i < edges; i++) { move((edges - i) & 1); if (apart) till(now() + apart); }
  }
  return fclose(out);
}
