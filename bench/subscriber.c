/* The peer of ingest.durable: a bare libmosquitto subscriber that only counts. It takes a backlog from a persistent
 * session at QoS 1 and prints seconds from the first message to the last. */
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long wanted, seen;
static struct timespec first, last;

static void on_connect(struct mosquitto* client, void* data, int code) {
  (void)data;
  if (code == 0) mosquitto_subscribe(client, NULL, "devices/+/telemetry", 1);
}

static void on_message(struct mosquitto* client, void* data, const struct mosquitto_message* message) {
  (void)client, (void)data, (void)message;
  if (seen++ == 0) clock_gettime(CLOCK_MONOTONIC, &first);
  if (seen == wanted) clock_gettime(CLOCK_MONOTONIC, &last);
}

int main(int argc, char** argv) {
  if (argc != 4) return fprintf(stderr, "usage: bench_subscriber PORT CLIENT-ID COUNT (0: subscribe and leave)\n"), 2;
  wanted = atol(argv[3]);
  mosquitto_lib_init();
  struct mosquitto* client = mosquitto_new(argv[2], false, NULL);
  mosquitto_connect_callback_set(client, on_connect);
  mosquitto_message_callback_set(client, on_message);
  mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
  if (mosquitto_connect(client, "127.0.0.1", atoi(argv[1]), 60) != MOSQ_ERR_SUCCESS) return 1;
  const time_t started = time(NULL);
  while (wanted == 0 ? time(NULL) - started < 1 : seen < wanted) {
    if (mosquitto_loop(client, 100, 1) != MOSQ_ERR_SUCCESS) return 1;
    if (time(NULL) - started > 120) return 1;
  }
  for (int i = 0; i < 50; ++i) mosquitto_loop(client, 2, 1); /* the last PUBACKs */
  mosquitto_disconnect(client);
  printf("%.6f\n", (double)(last.tv_sec - first.tv_sec) + (double)(last.tv_nsec - first.tv_nsec) * 1e-9);
  return 0;
}
