/* A bare libmodbus loop: loop PORT ROUNDS FUNCTION:ADDRESS:COUNT … prints the registers that it has read a second. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
  modbus_t* line = argc > 3 ? modbus_new_tcp("127.0.0.1", atoi(argv[1])) : NULL;
  if (line == NULL || modbus_connect(line) != 0) {
    fprintf(stderr, "bench_modbus_loop: %s\n", line == NULL ? "PORT ROUNDS FUNCTION:ADDRESS:COUNT …" : modbus_strerror(errno));
    return 1;
  }
  modbus_set_slave(line, 1);
  const int rounds = atoi(argv[2]);
  long long registers = 0;
  uint16_t words[125];
  const double began = seconds();
  for (int round = 0; round < rounds; ++round) {
    for (int i = 3; i < argc; ++i) {
      int function = 0, address = 0, count = 0;
      if (sscanf(argv[i], "%d:%d:%d", &function, &address, &count) != 3) return 1;
      const int got = function == 4 ? modbus_read_input_registers(line, address, count, words)
                                    : modbus_read_registers(line, address, count, words);
      if (got != count) {
        fprintf(stderr, "bench_modbus_loop: %s\n", modbus_strerror(errno));
        return 1;
      }
      registers += got;
    }
  }
  printf("%.1f\n", (double)registers / (seconds() - began));
  modbus_close(line);
  modbus_free(line);
  return 0;
}
