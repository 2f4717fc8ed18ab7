#pragma once
#include <memory>
#include <string>

#include "api/http.h"
#include "config/table.h"
#include "pipeline/pipeline.h"

namespace wattd::api {

/// Where the API listens.
struct ServerConfig {
  std::string socket_path;  ///< Unix socket; empty for none.
  std::string address = "127.0.0.1";
  int port = 8470;  ///< 0 for none.
};

/// Reads [api]. Errors: throws config::ConfigError.
ServerConfig parse_server(const config::Table& table);

/// Serves HTTP/1.1 on the unix socket and on TCP from one thread of its own, and streams committed readings to
/// those who asked. A slow reader of the stream loses the oldest groups and is told how many; it slows nobody.
/// Threads: on_committed() any one; the handler runs on the server's.
class Server final : public pipeline::Listener {
 public:
  /// Binds at once. Errors: throws std::runtime_error that names the address and the reason.
  Server(ServerConfig config, Handler handler);
  ~Server() override;

  /// Begins to answer.
  void start();
  void stop();
  void on_committed(const std::shared_ptr<const pipeline::Committed>& group) noexcept override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace wattd::api
