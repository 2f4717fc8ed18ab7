#include "sync/libpq.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <stdexcept>

namespace wattd::sync {
namespace {

Libpq load() {
  void* const library = ::dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw std::runtime_error(
        fmt::format("a sink of kind \"postgres\" needs libpq: apt install libpq5 ({})", dlerror()));
  Libpq pq{};
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) throw std::runtime_error(fmt::format("libpq has no {}", name));
  };
  find("PQclear", pq.clear);
  find("PQconnectPoll", pq.connect_poll);
  find("PQconnectStartParams", pq.connect_start);
  find("PQconsumeInput", pq.consume_input);
  find("PQerrorMessage", pq.error_message);
  find("PQfinish", pq.finish);
  find("PQflush", pq.flush);
  find("PQgetResult", pq.get_result);
  find("PQgetvalue", pq.get_value);
  find("PQisBusy", pq.is_busy);
  find("PQnfields", pq.fields);
  find("PQntuples", pq.tuples);
  find("PQputCopyData", pq.put_copy_data);
  find("PQputCopyEnd", pq.put_copy_end);
  find("PQresultErrorField", pq.result_error_field);
  find("PQresultErrorMessage", pq.result_error_message);
  find("PQresultStatus", pq.result_status);
  find("PQsendQuery", pq.send_query);
  find("PQsetnonblocking", pq.set_nonblocking);
  find("PQsocket", pq.socket);
  find("PQstatus", pq.status);
  return pq;
}

}  // namespace

const Libpq& libpq() {
  static const Libpq pq = load();
  return pq;
}

}  // namespace wattd::sync
