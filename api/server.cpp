#include "api/server.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <deque>
#include <mutex>
#include <thread>

#include "telemetry/json_text.h"
#include "telemetry/log.h"
#include "telemetry/version.h"

namespace wattd::api {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace net = boost::asio;
using namespace std::chrono_literals;

constexpr std::size_t kMaxBody = 1 << 20;
constexpr std::size_t kMaxQueued = 20'000;  // readings that wait for a slow reader of the stream
constexpr auto kIdle = 60s;
constexpr std::size_t kMaxSessions = 128;

using Group = std::shared_ptr<const pipeline::Committed>;

/// Somebody who reads the stream. Threads: the server's.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual void deliver(const Group& group) = 0;
};

using Subscribers = std::vector<std::weak_ptr<Subscriber>>;

std::string to_lines(const pipeline::Committed& group, const std::string& only_device) {
  std::string lines;
  const auto members = fmt::format(",\"seq\":{}", group.seq);
  for (const auto& reading : group.readings) {
    if (!only_device.empty() && reading.device_id != only_device) continue;
    lines += to_json(reading, members);
    lines += '\n';
  }
  return lines;
}

/// One connection, over TCP or the unix socket.
template <class Protocol>
class Session final : public Subscriber, public std::enable_shared_from_this<Session<Protocol>> {
 public:
  Session(typename Protocol::socket socket, const Handler& handler, Subscribers& subscribers, std::size_t& sessions)
      : stream_(std::move(socket)), handler_(handler), subscribers_(subscribers), sessions_(sessions) {
    ++sessions_;
  }
  ~Session() override { --sessions_; }

  void read() {
    parser_.emplace();
    parser_->body_limit(kMaxBody);
    stream_.expires_after(kIdle);
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](beast::error_code problem, std::size_t) {
                       if (!problem) self->answer();
                       else if (problem == http::error::body_limit) self->refuse_body();
                     });
  }

  void deliver(const Group& group) override {
    queued_ += group->readings.size();
    queue_.push_back(group);
    for (; queued_ > kMaxQueued && queue_.size() > 1; ++dropped_) {
      queued_ -= queue_.front()->readings.size();
      queue_.pop_front();
    }
    if (!writing_) write_next();
  }

 private:
  void answer() {
    const auto& message = parser_->get();
    Request request{.method = std::string(message.method_string()), .body = message.body()};
    const auto authorization = message[http::field::authorization];
    request.authorization = {authorization.data(), authorization.size()};
    request.trusted = !std::is_same_v<Protocol, net::ip::tcp>;
    parse_target({message.target().data(), message.target().size()}, request);
    Response response;
    try {
      response = handler_(request);
    } catch (const std::exception& problem) {
      log::error(fmt::format("{} {}: {}", request.method, request.path, problem.what()));
      response = error_response(500, "INTERNAL_ERROR", "the request could not be answered; the journal says why");
    }
    if (response.streams) return begin_stream(response.only_device);
    reply_with(std::move(response), message.version(), message.keep_alive());
  }

  /// The rest of it is not read; the connection ends behind the answer.
  void refuse_body() {
    reply_with(error_response(413, "TOO_LARGE", fmt::format("a body may have {} bytes", kMaxBody)), 11, false);
  }

  void reply_with(Response response, unsigned version, bool keep) {
    auto reply =
        std::make_shared<http::response<http::string_body>>(static_cast<http::status>(response.status), version);
    reply->set(http::field::server, fmt::format("wattd/{}", kVersion));
    reply->set(http::field::content_type, response.content_type);
    reply->set(http::field::cache_control, "no-store");
    reply->keep_alive(keep);
    reply->body() = std::move(response.body);
    reply->prepare_payload();
    http::async_write(stream_, *reply,
                      [self = this->shared_from_this(), reply, keep](beast::error_code problem, std::size_t) {
                        if (!problem && keep) self->read();
                        else self->stream_.socket().shutdown(net::socket_base::shutdown_send, problem);
                      });
  }

  void begin_stream(const std::string& only_device) {
    only_device_ = only_device;
    stream_.expires_never();
    write(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nCache-Control: "
        "no-store\r\n\r\n");
    subscribers_.push_back(this->weak_from_this());
    watch_for_end();
  }

  /// A stream's peer says nothing more: what can be read is its end.
  void watch_for_end() {
    stream_.async_read_some(net::buffer(ignored_),
                            [self = this->shared_from_this()](beast::error_code problem, std::size_t) {
                              if (problem) self->stream_.close();
                              else self->watch_for_end();
                            });
  }

  void write_next() {
    while (!queue_.empty()) {
      auto lines = to_lines(*queue_.front(), only_device_);
      queued_ -= queue_.front()->readings.size();
      queue_.pop_front();
      if (dropped_ > 0) lines += fmt::format("{{\"dropped_groups\":{}}}\n", std::exchange(dropped_, 0));
      if (lines.empty()) continue;
      return write(fmt::format("{:x}\r\n{}\r\n", lines.size(), lines));
    }
  }

  void write(std::string bytes) {
    writing_ = true;
    auto kept = std::make_shared<std::string>(std::move(bytes));
    net::async_write(stream_, net::buffer(*kept),
                     [self = this->shared_from_this(), kept](beast::error_code problem, std::size_t) {
                       self->writing_ = false;
                       if (!problem) self->write_next();
                     });
  }

  beast::basic_stream<Protocol> stream_;
  const Handler& handler_;
  Subscribers& subscribers_;
  std::size_t& sessions_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string only_device_;
  std::deque<Group> queue_;
  std::size_t queued_ = 0;  ///< Readings in queue_.
  std::size_t dropped_ = 0;
  bool writing_ = false;
  std::array<char, 256> ignored_{};
};

}  // namespace

struct Server::Impl {
  Impl(ServerConfig settings, Handler handle) : config(std::move(settings)), handler(std::move(handle)) {}

  void bind_tcp() {
    if (config.port == 0) return;
    const net::ip::tcp::endpoint endpoint(net::ip::make_address(config.address),
                                          static_cast<unsigned short>(config.port));
    tcp.open(endpoint.protocol());
    tcp.set_option(net::socket_base::reuse_address(true));
    tcp.bind(endpoint);
    tcp.listen();
  }

  void bind_local() {
    if (config.socket_path.empty()) return;
    ::unlink(config.socket_path.c_str());  // of a daemon that was killed
    const net::local::stream_protocol::endpoint endpoint(config.socket_path);
    local.open(endpoint.protocol());
    local.bind(endpoint);
    ::chmod(config.socket_path.c_str(), 0660);
    local.listen();
  }

  template <class Protocol, class Acceptor>
  void accept(Acceptor& acceptor) {
    acceptor.async_accept([this, &acceptor](beast::error_code problem, typename Protocol::socket socket) {
      if (problem == net::error::operation_aborted) return;
      if (problem) {
        // Out of descriptors, most likely: trying again at once would only spin.
        pause.expires_after(100ms);
        pause.async_wait([this, &acceptor](beast::error_code stopped) {
          if (!stopped) accept<Protocol>(acceptor);
        });
        return;
      }
      if (sessions < kMaxSessions) {
        if constexpr (std::is_same_v<Protocol, net::ip::tcp>) socket.set_option(net::ip::tcp::no_delay(true), problem);
        std::make_shared<Session<Protocol>>(std::move(socket), handler, subscribers, sessions)->read();
      }
      accept<Protocol>(acceptor);
    });
  }

  ServerConfig config;
  Handler handler;
  std::size_t sessions = 0;  ///< Open now; declared before the context, whose handlers keep sessions alive.
  Subscribers subscribers;   ///< The server's thread alone.
  net::io_context context{1};
  net::steady_timer pause{context};
  net::ip::tcp::acceptor tcp{context};
  net::local::stream_protocol::acceptor local{context};
  std::jthread thread;
};

Server::Server(ServerConfig config, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(handler))) {
  try {
    impl_->bind_tcp();
  } catch (const boost::system::system_error& problem) {
    throw std::runtime_error(
        fmt::format("HTTP cannot listen on {}:{}: {}; is another wattd running, or is api.port taken?",
                    impl_->config.address, impl_->config.port, problem.code().message()));
  }
  try {
    impl_->bind_local();
  } catch (const boost::system::system_error& problem) {
    throw std::runtime_error(
        fmt::format("the socket {} cannot be made: {}", impl_->config.socket_path, problem.code().message()));
  }
}

Server::~Server() { stop(); }

void Server::start() {
  if (impl_->tcp.is_open()) impl_->accept<net::ip::tcp>(impl_->tcp);
  if (impl_->local.is_open()) impl_->accept<net::local::stream_protocol>(impl_->local);
  impl_->thread = std::jthread([this] { impl_->context.run(); });
}

void Server::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->context.stop();
  impl_->thread.join();
  if (!impl_->config.socket_path.empty()) ::unlink(impl_->config.socket_path.c_str());
}

void Server::on_committed(const std::shared_ptr<const pipeline::Committed>& group) noexcept {
  net::post(impl_->context, [this, group] {
    std::erase_if(impl_->subscribers, [](const auto& subscriber) { return subscriber.expired(); });
    for (const auto& subscriber : impl_->subscribers) {
      if (const auto alive = subscriber.lock()) alive->deliver(group);
    }
  });
}

ServerConfig parse_server(const config::Table& table) {
  ServerConfig server;
  server.socket_path = table.text("socket", "/run/wattd/wattd.sock");
  server.address = table.text("address", server.address);
  beast::error_code problem;
  net::ip::make_address(server.address, problem);
  if (problem) table.fail("address", "expected an IP address, such as 127.0.0.1 or ::1");
  server.port = static_cast<int>(table.integer("port", 0, 65535, server.port));
  table.reject_unknown_keys();
  return server;
}

}  // namespace wattd::api
