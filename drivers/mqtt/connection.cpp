#include "drivers/mqtt/connection.h"

#include <fmt/format.h>
#include <mosquitto.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <random>
#include <stdexcept>

#include "telemetry/log.h"

namespace wattd::drivers::mqtt {
namespace {

using namespace std::chrono_literals;

constexpr int kSmallestWindow = 10;    // of the brokers in common use
constexpr auto kFallenSilent = 50ms;   // a broker that still has room in its window would have sent more by then
constexpr std::size_t kHandOver = 64;  // messages moved to the intake at once
constexpr auto kFirstPause = 200ms;
constexpr auto kLongestPause = 10s;

/// Lets what is written meanwhile leave in as few packets as it fits into: the library writes every PUBACK by itself.
class Together {
 public:
  explicit Together(int socket) : socket_(socket) { set(1); }
  ~Together() { set(0); }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;

 private:
  void set(int on) const { ::setsockopt(socket_, IPPROTO_TCP, TCP_CORK, &on, sizeof on); }
  int socket_;
};

}  // namespace

/// What the library calls; none of it may throw.
struct Connection::Callbacks {
  static void on_connect(mosquitto*, void* self, int code, int flags) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    if (code != 0) {
      connection.refused_ = true;
      connection.set_error(fmt::format("the broker refused: {}", connection.config_.broker.v5
                                                                     ? mosquitto_reason_string(code)
                                                                     : mosquitto_connack_string(code)));
      return;
    }
    connection.accepted_ = true;
    connection.unanswered_subscriptions_ = connection.config_.subscriptions.size();
    connection.resumed_ = (flags & 1) != 0;
    connection.counts_.connects += 1;
    log::notice(fmt::format("{}: connected to {}{}", connection.config_.id, connection.config_.broker.address(),
                            (flags & 1) != 0 ? ", the session goes on" : ", a new session"),
                {{"SOURCE", connection.config_.id}});
    for (const auto& wanted : connection.config_.subscriptions) {
      mosquitto_subscribe(connection.client_.get(), nullptr, wanted.filter.c_str(), 1);
    }
    connection.give_up_old_subscriptions();
  }

  static void on_unsubscribe(mosquitto*, void* self, int) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    if (connection.unanswered_unsubscriptions_ > 0 && --connection.unanswered_unsubscriptions_ == 0)
      connection.keep_subscriptions();
  }

  static void on_subscribe(mosquitto*, void* self, int, int count, const int* granted) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    // Only now nothing that is published can pass by unseen.
    if (connection.unanswered_subscriptions_ > 0 && --connection.unanswered_subscriptions_ == 0)
      connection.counts_.connected = true;
    for (int i = 0; i < count; ++i) {
      if (granted[i] <= 1) continue;
      connection.set_error("the broker refused a subscription; does its access list allow this user the topic?");
      log::error(fmt::format("{}: {}", connection.config_.id, connection.last_error()));
    }
  }

  static void on_message(mosquitto*, void* self, const mosquitto_message* message) noexcept {
    auto& connection = *static_cast<Connection*>(self);
    if (message->qos > 0) {
      // It counts towards the window even when it is skipped: its PUBACK is queued like any other.
      if (connection.unacknowledged_++ == 0) connection.first_unacknowledged_ = connection.clock_.monotonic();
    }
    connection.last_arrival_ = connection.clock_.monotonic();
    if (message->retain) {
      connection.counts_.retained_skipped += 1;
      return;
    }
    if (!connection.wants(message->topic)) {
      connection.counts_.unwanted_skipped += 1;
      return;
    }
    connection.counts_.messages += 1;
    const auto received = connection.clock_.stamp();
    connection.read_.push_back({.source = connection.config_.id,
                                .topic = message->topic,
                                .payload = {static_cast<const char*>(message->payload),
                                            std::min(static_cast<std::size_t>(message->payloadlen), kMaxPayload + 1)},
                                .received = received.at,
                                .received_quality = received.quality,
                                .packet_id = static_cast<std::uint16_t>(message->qos > 0 ? message->mid : 0),
                                .epoch = connection.epoch_,
                                .resumed = connection.resumed_});
  }
};

Connection::Connection(ConnectionConfig config, std::chrono::milliseconds commit_interval, Intake& intake,
                       const Clock& clock)
    : config_(std::move(config)), commit_interval_(commit_interval), intake_(intake), clock_(clock) {
  client_ = make_client(config_.broker, false, this, config_.id);
  auto* const client = client_.get();
  mosquitto_connect_with_flags_callback_set(client, Callbacks::on_connect);
  mosquitto_subscribe_callback_set(client, Callbacks::on_subscribe);
  mosquitto_unsubscribe_callback_set(client, Callbacks::on_unsubscribe);
  mosquitto_message_callback_set(client, Callbacks::on_message);
}

Connection::~Connection() = default;

/// A session that goes on still holds what an earlier configuration asked for; a new one holds nothing.
void Connection::give_up_old_subscriptions() {
  unanswered_unsubscriptions_ = 0;
  if (config_.filters_path.empty()) return;
  const auto old = load_filters(config_.filters_path);
  for (const auto& filter : old) {
    if (!resumed_ ||
        std::ranges::find(config_.subscriptions, filter, &Subscription::filter) != config_.subscriptions.end())
      continue;
    if (mosquitto_unsubscribe(client_.get(), nullptr, filter.c_str()) == MOSQ_ERR_SUCCESS)
      ++unanswered_unsubscriptions_;
  }
  // What is given up stays noted until the broker has said that it is.
  if (unanswered_unsubscriptions_ == 0) keep_subscriptions();
}

void Connection::keep_subscriptions() {
  std::vector<std::string> filters;
  for (const auto& wanted : config_.subscriptions) filters.push_back(wanted.filter);
  if (load_filters(config_.filters_path) == filters) return;
  if (const auto saved = save_filters(config_.filters_path, filters); !saved)
    log::warning(fmt::format("{}: what is subscribed to is not kept: {}", config_.id, saved.error().message));
}

std::string Connection::last_error() const {
  const std::scoped_lock lock(error_mutex_);
  return error_;
}

void Connection::set_error(std::string message) {
  const std::scoped_lock lock(error_mutex_);
  error_ = std::move(message);
}

bool Connection::connect(const std::stop_token& stop) {
  if (stop.stop_requested()) return false;
  static std::atomic<std::uint32_t> connects{0};
  epoch_ = ++connects;
  refused_ = false;
  auto problem = mqtt::connect(client_.get(), config_.broker);
  if (problem.empty()) return true;
  set_error(std::move(problem));
  return false;
}

void Connection::run(const std::stop_token& stop) {
  std::minstd_rand jitter(std::random_device{}());
  auto pause = std::chrono::milliseconds{kFirstPause};
  std::string reported;
  while (!stop.stop_requested()) {
    const auto connects = counts_.connects.load();
    if (connect(stop)) serve(stop);
    counts_.connected = false;
    if (stop.stop_requested()) break;
    if (counts_.connects.load() > connects) pause = kFirstPause, reported.clear();
    if (const auto problem = last_error(); problem != reported) {
      log::warning(fmt::format("{}: {}; trying again", config_.id, problem), {{"SOURCE", config_.id}});
      reported = problem;
    }
    const auto until = clock_.monotonic() + pause * std::uniform_int_distribution(50, 100)(jitter) / 100;
    while (!stop.stop_requested() && clock_.monotonic() < until) poll(nullptr, 0, 50);
    pause = std::min<std::chrono::milliseconds>(pause * 2, kLongestPause);
  }
  // A DISCONNECT would take queued PUBACKs along: only where all of them are for what has been committed.
  if (unacknowledged_ > 0) return;
  mosquitto_disconnect(client_.get());
  mosquitto_loop_write(client_.get(), 1);
}

bool Connection::wants(const char* topic) const {
  // A persistent session goes on delivering what an earlier configuration had subscribed to.
  return std::ranges::any_of(config_.subscriptions,
                             [topic](const Subscription& wanted) { return matches(wanted.filter, topic); });
}

void Connection::hand_over() {
  if (read_.empty()) return;
  last_ticket_ = intake_.put(std::move(read_));
  read_.clear();
}

bool Connection::must_cut(Instant now) const {
  if (now - last_write_ > config_.broker.keepalive / 2) return true;  // a PINGREQ has to go out, and it flushes PUBACKs
  if (unacknowledged_ == 0) return false;
  if (has_half_a_window() || until_cut(now) <= 0ms) return true;
  return unacknowledged_ >= kSmallestWindow && now - last_arrival_ >= kFallenSilent;
}

/// How long until what was read has to be committed: a little before the pipeline does so by itself, so that one
/// transaction takes all of it. In a steady stream the interval counts from one cut to the next.
std::chrono::milliseconds Connection::until_cut(Instant now) const {
  const bool is_steady = first_unacknowledged_ - cut_at_ < commit_interval_ / 2;
  const auto due = (is_steady ? cut_at_ : first_unacknowledged_) + commit_interval_ - commit_interval_ / 8;
  return std::chrono::duration_cast<std::chrono::milliseconds>(due - now);
}

/// Lets a few messages come together: waking the next thread for each of them costs more than reading them. Not where
/// the broker's window would fill meanwhile.
void Connection::gather(const std::stop_token& stop) {
  if (is_flooded_ || has_half_a_window() || stop.stop_requested()) return;
  const auto now = clock_.monotonic();
  const auto pause = std::min(intake_.patience(), unacknowledged_ > 0 ? until_cut(now) : intake_.patience());
  if (pause <= 0ms) return;
  poll(nullptr, 0, static_cast<int>(pause.count()));
  last_arrival_ = clock_.monotonic();  // nobody looked meanwhile: it was no silence
}

bool Connection::acknowledge(const std::stop_token& stop) {
  hand_over();
  cut_at_ = clock_.monotonic();
  is_flooded_ = has_half_a_window();
  // A full disk may hold a commit up; the broker waits, until its keepalive drops us and it delivers again.
  const auto began = clock_.monotonic();
  while (unacknowledged_ > 0 && !intake_.commit_through(last_ticket_, 500ms)) {
    const auto patience = stop.stop_requested() ? std::chrono::seconds{3} : config_.broker.keepalive;
    if (clock_.monotonic() - began < patience) continue;
    set_error("the readings could not be committed; not acknowledging");
    return false;
  }
  const Together together(mosquitto_socket(client_.get()));
  const bool live = mosquitto_loop_misc(client_.get()) == MOSQ_ERR_SUCCESS;
  unacknowledged_ = 0;
  last_write_ = clock_.monotonic();
  return live && mosquitto_loop_write(client_.get(), 1) == MOSQ_ERR_SUCCESS;
}

Connection::Arrival Connection::read_some(std::chrono::milliseconds patience) {
  pollfd socket{.fd = mosquitto_socket(client_.get()), .events = POLLIN};
  if (socket.fd < 0) return Arrival::lost;
  if (patience > 0ms && poll(&socket, 1, static_cast<int>(patience.count())) <= 0) return Arrival::nothing;
  const auto before = unacknowledged_ + counts_.messages.load(std::memory_order_relaxed);
  const int code = mosquitto_loop_read(client_.get(), 1);
  if (code != MOSQ_ERR_SUCCESS) {
    if (!refused_) set_error(fmt::format("the connection was lost: {}", mosquitto_strerror(code)));
    return Arrival::lost;
  }
  const auto after = unacknowledged_ + counts_.messages.load(std::memory_order_relaxed);
  return after == before ? Arrival::nothing : Arrival::message;
}

void Connection::serve(const std::stop_token& stop) {
  unacknowledged_ = 0;
  accepted_ = false;
  read_.clear();
  last_write_ = clock_.monotonic();
  if (mosquitto_loop_write(client_.get(), 1) != MOSQ_ERR_SUCCESS) return;
  bool subscribed = false;
  bool is_idle = true;  // all that had come was read
  while (!stop.stop_requested()) {
    if (!intake_.has_room()) {
      counts_.full_pauses += 1;
      hand_over();
      if (!acknowledge(stop)) return;
      if (!intake_.has_room()) poll(nullptr, 0, 20);
      continue;
    }
    // Waiting is for when nothing is in hand; otherwise only look whether more has come.
    const bool is_first = read_.empty();
    const auto arrival = read_some(!is_first              ? 0ms
                                   : unacknowledged_ == 0 ? 100ms
                                                          : std::clamp(until_cut(clock_.monotonic()), 0ms, 10ms));
    if (arrival == Arrival::message && std::exchange(is_idle, false)) gather(stop);
    if (arrival == Arrival::nothing) is_idle = true;
    // What was read before the connection broke is kept: at QoS 0 nobody sends it again.
    if (read_.size() >= kHandOver || arrival != Arrival::message) hand_over();
    if (arrival == Arrival::lost) return;
    if (accepted_ && !subscribed) {
      subscribed = true;  // SUBSCRIBE is queued like everything else
      if (!acknowledge(stop)) return;
    }
    const auto now = clock_.monotonic();
    if (must_cut(now) || (unacknowledged_ > 0 && read_.empty() && intake_.committed() >= last_ticket_)) {
      if (!acknowledge(stop)) return;
    }
  }
  acknowledge(stop);
}

}  // namespace wattd::drivers::mqtt
