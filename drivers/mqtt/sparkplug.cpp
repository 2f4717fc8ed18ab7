#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/levels.h"
#include "sparkplug_b.pb.h"
#include "telemetry/log.h"

namespace wattd::drivers::mqtt {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxNodes = 1000;
constexpr std::size_t kMaxKnown = 200'000;   // names, aliases and devices of all nodes together
constexpr std::size_t kMaxMetrics = 10'000;  // of one message
constexpr std::size_t kMaxFields = 1000;
constexpr std::size_t kMaxName = 100;
constexpr std::uint64_t kLatest = 253'402'300'799'000;  // ms; the year 9999
constexpr auto kBetweenRebirths = 10s;

/// Data types by their numbers. Source: Sparkplug 3.0.0, section 6.4.16.
enum Type : std::uint32_t { int8 = 1, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, boolean };

/// What the levels of a topic say: spBv1.0/GROUP/KIND/NODE[/DEVICE].
struct Place {
  std::string_view group, kind, node, device;

  static std::optional<Place> of(std::string_view topic) {
    const auto levels = levels_of(topic);
    if (levels.size() < 4 || levels.size() > 5 || levels[0] != "spBv1.0") return std::nullopt;
    return Place{levels[1], levels[2], levels[3], levels.size() == 5 ? levels[4] : std::string_view{}};
  }
  bool is_birth() const { return kind == "NBIRTH" || kind == "DBIRTH"; }
  bool is_data() const { return kind == "NDATA" || kind == "DDATA"; }
  bool is_death() const { return kind == "NDEATH" || kind == "DDEATH"; }
  std::string node_name() const { return fmt::format("{}/{}", group, node); }
  std::string device_id() const {
    return device_id_of(device.empty() ? fmt::format("{}.{}", group, node)
                                       : fmt::format("{}.{}.{}", group, node, device));
  }
};

/// What a birth said of a metric.
struct Metric {
  std::string name;
  std::uint32_t type = 0;
};

/// The latest birth of a device.
struct Birth {
  std::unordered_map<std::uint64_t, Metric> aliases;
  std::unordered_map<std::string, std::uint32_t> types;  ///< By name.
  std::size_t size() const { return 1 + aliases.size() + types.size(); }
};

/// An edge node and what its births have said, since the last of them.
struct Node {
  bool is_born = false;  ///< Aliases mean what the births said: no message has been missed since.
  int next_seq = 0;
  std::optional<std::uint64_t> session;
  std::unordered_map<std::string, Birth> births;  ///< By device; "" is the node.
  std::optional<Instant> asked_at;                ///< For a rebirth.
};

std::int64_t signed_of(std::uint32_t type, std::uint64_t value) {
  switch (type) {
    case int8: return static_cast<std::int8_t>(value);
    case int16: return static_cast<std::int16_t>(value);
    case int32: return static_cast<std::int32_t>(value);
    default: return static_cast<std::int64_t>(value);
  }
}

/// The metric's value by its type; nullopt for none, and for what is no telemetry.
std::optional<Value> value_of(const sparkplug::Metric& metric, std::uint32_t type) {
  if (metric.is_null()) return std::nullopt;
  switch (metric.value_case()) {
    case sparkplug::Metric::kIntValue: return Value(signed_of(type, metric.int_value()));
    case sparkplug::Metric::kLongValue:
      if (type != int64 && metric.long_value() > INT64_MAX) return Value(static_cast<double>(metric.long_value()));
      return Value(static_cast<std::int64_t>(metric.long_value()));
    case sparkplug::Metric::kFloatValue:
      return std::isfinite(metric.float_value()) ? std::optional(Value(shortest_double(metric.float_value())))
                                                 : std::nullopt;
    case sparkplug::Metric::kDoubleValue:
      return std::isfinite(metric.double_value()) ? std::optional(Value(metric.double_value())) : std::nullopt;
    case sparkplug::Metric::kBooleanValue: return Value(metric.boolean_value());
    case sparkplug::Metric::kStringValue:
      if (!simdjson::validate_utf8(metric.string_value().data(), metric.string_value().size())) return std::nullopt;
      return Value(metric.string_value());
    case sparkplug::Metric::VALUE_NOT_SET: return std::nullopt;
  }
  return std::nullopt;
}

/// Quality as OPC has it: 192 good, 500 stale, 0 bad. Absent is good.
bool is_good(const sparkplug::Metric& metric) {
  const auto& properties = metric.properties();
  for (int i = 0; i < std::min(properties.keys_size(), properties.values_size()); ++i) {
    if (properties.keys(i) == "Quality" && !properties.values(i).is_null())
      return properties.values(i).int_value() == 192;
  }
  return true;
}

/// What a node says of itself, rather than of the plant.
bool is_control(std::string_view name) {
  return name == "bdSeq" || name.starts_with("Node Control/") || name.starts_with("Device Control/");
}

/// The metrics of one message, each stamp's a reading.
class Readings {
 public:
  Readings(std::string device, std::uint64_t stamp_ms) : device_(std::move(device)), stamp_ms_(stamp_ms) {}

  /// Errors: permanent.
  Result<void> add(const sparkplug::Metric& metric, const std::string& name, Value value) {
    const auto ms = metric.timestamp() > 0 ? metric.timestamp() : stamp_ms_;
    if (ms > kLatest) return fail(ErrorKind::permanent, fmt::format("{}: its timestamp {} is none", name, ms));
    if (name.size() > kMaxName)
      return fail(ErrorKind::permanent, fmt::format("a name has more than {} bytes: {:.40}…", kMaxName, name));
    auto& decoded = by_stamp_[ms];
    decoded.has_stamp = ms > 0;
    auto& reading = decoded.reading;
    reading.device_id = device_;
    reading.at = from_unix_us(static_cast<std::int64_t>(ms) * 1000);
    if (!names_[ms].insert(name).second)
      return fail(ErrorKind::permanent, fmt::format("{} is there twice with one timestamp", name));
    if (reading.fields.size() >= kMaxFields)
      return fail(ErrorKind::permanent, fmt::format("there are more than {} metrics", kMaxFields));
    reading.fields.push_back({name, std::move(value)});
    return {};
  }

  std::vector<Decoded> take() {
    std::vector<Decoded> all;
    for (auto& [ms, decoded] : by_stamp_) all.push_back(std::move(decoded));
    return all;
  }

 private:
  std::string device_;
  std::uint64_t stamp_ms_;
  std::map<std::uint64_t, Decoded> by_stamp_;
  std::map<std::uint64_t, std::set<std::string>> names_;
};

/// Sparkplug B. Births name the metrics and give them aliases; data may carry the alias alone. Whatever was missed in
/// between may have been another birth, so an alias is believed only while no number of the sequence is missing;
/// otherwise the message is refused, and the node is asked to be born again.
class Sparkplug final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    const auto place = Place::of(topic);
    if (!place) return nothing();
    if (place->is_death()) {
      die(*place, payload);
      return nothing();
    }
    if (!place->is_birth() && !place->is_data()) return nothing();
    return read(*place, payload, true);
  }

  /// Out of its turn: the message says nothing of the sequence, and births of old name nothing.
  Result<std::vector<Decoded>> decode_again(std::string_view topic, std::string_view payload) override {
    const auto place = Place::of(topic);
    if (!place || !(place->is_birth() || place->is_data())) return nothing();
    return read(*place, payload, false);
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    const auto place = Place::of(topic);
    return place ? std::optional(place->device_id()) : std::nullopt;
  }

  std::vector<Command> take_commands() override { return std::exchange(commands_, {}); }

 private:
  Result<std::vector<Decoded>> read(const Place& place, std::string_view payload, bool in_turn) {
    sparkplug::Payload message;
    if (payload.size() > kMaxPayload || !message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
      return fail(ErrorKind::permanent, "the payload is no Sparkplug B payload");
    // What is packed into `body` is not read; it must not be taken for a message without metrics.
    if (message.has_body())
      return fail(ErrorKind::permanent,
                  fmt::format("the payload is packed ({}); set the edge node to send it uncompressed",
                              message.uuid().empty() ? "without saying how" : message.uuid()));
    if (static_cast<std::size_t>(message.metrics_size()) > kMaxMetrics)
      return fail(ErrorKind::permanent, fmt::format("there are more than {} metrics", kMaxMetrics));
    const auto name = place.node_name();
    if (!nodes_.contains(name) && nodes_.size() >= kMaxNodes)
      return fail(ErrorKind::permanent, fmt::format("{} would be one more than {} edge nodes", name, kMaxNodes));
    auto& node = nodes_[name];
    if (in_turn) {
      follow(place, node, message);
      if (place.is_birth()) bear(place, node, message);
    }
    auto readings = readings_of(place, node, message);
    if (!readings && in_turn) ask_for_rebirth(place, node);
    return readings;
  }

  /// Whether the message is the next one of its node.
  void follow(const Place& place, Node& node, const sparkplug::Payload& message) {
    const bool is_next = message.has_seq() && static_cast<int>(message.seq() % 256) == node.next_seq;
    if (place.kind == "NBIRTH") {
      forget_all(node);
      node.is_born = true;
      node.session = session_in(message);
      node.asked_at.reset();
    } else if (!is_next && node.is_born) {
      log::notice(fmt::format("sparkplug: messages of {} are missing: number {} came, expected {}", place.node_name(),
                              message.seq(), node.next_seq));
      node.is_born = false;
      ask_for_rebirth(place, node);
    } else if (!node.is_born) {
      ask_for_rebirth(place, node);
    }
    node.next_seq = static_cast<int>((message.seq() + 1) % 256);
  }

  void bear(const Place& place, Node& node, const sparkplug::Payload& message) {
    const std::string device(place.device);
    forget(node, device);
    // Beyond the limit nothing more is known: what comes by such an alias is refused.
    if (known_ + 1 + 2 * static_cast<std::size_t>(message.metrics_size()) > kMaxKnown) return;
    Birth birth;
    for (const auto& metric : message.metrics()) {
      if (!metric.has_name()) continue;
      birth.types[metric.name()] = metric.datatype();
      if (metric.has_alias()) birth.aliases[metric.alias()] = {metric.name(), metric.datatype()};
    }
    known_ += birth.size();
    node.births.emplace(device, std::move(birth));
  }

  Result<std::vector<Decoded>> readings_of(const Place& place, const Node& node, const sparkplug::Payload& message) {
    Readings readings(place.device_id(), message.timestamp());
    for (const auto& metric : message.metrics()) {
      const auto known = resolve(place, node, metric);
      if (!known) return std::unexpected(known.error());
      if (is_control(known->name) || !is_good(metric)) continue;  // stale is absent
      if (!simdjson::validate_utf8(known->name.data(), known->name.size()))
        return fail(ErrorKind::permanent, "the name of a metric is not UTF-8");
      auto value = value_of(metric, known->type);
      if (!value) continue;
      if (auto added = readings.add(metric, known->name, std::move(*value)); !added)
        return std::unexpected(added.error());
    }
    return readings.take();
  }

  /// The metric's name and type. Errors: permanent where its alias means nothing.
  Result<Metric> resolve(const Place& place, const Node& node, const sparkplug::Metric& metric) {
    const std::string device(place.device);
    if (metric.has_name() && !metric.name().empty()) {
      auto type = metric.datatype();
      if (type == 0 && node.is_born) {
        if (const auto births = node.births.find(device); births != node.births.end()) {
          const auto& types = births->second.types;
          if (const auto known = types.find(metric.name()); known != types.end()) type = known->second;
        }
      }
      // Without its type nobody knows whether a number has a sign.
      if (type == 0 && metric.value_case() == sparkplug::Metric::kIntValue && metric.int_value() > INT32_MAX)
        return fail(ErrorKind::permanent,
                    fmt::format("{} has no data type, and no birth has said which", metric.name()));
      return Metric{metric.name(), type};
    }
    if (!metric.has_alias()) return fail(ErrorKind::permanent, "a metric has neither name nor alias");
    const auto births = node.births.find(device);
    if (node.is_born && births != node.births.end()) {
      const auto& aliases = births->second.aliases;
      if (const auto known = aliases.find(metric.alias()); known != aliases.end()) {
        auto found = known->second;
        if (metric.datatype() != 0) found.type = metric.datatype();
        return found;
      }
    }
    return fail(ErrorKind::permanent,
                fmt::format("alias {} means nothing: the birth of {} was missed, it was asked to be born again; replay "
                            "this when it was",
                            metric.alias(), place.node_name()));
  }

  void die(const Place& place, std::string_view payload) {
    const auto found = nodes_.find(place.node_name());
    if (found == nodes_.end()) return;
    auto& node = found->second;
    if (place.kind == "DDEATH") {
      node.next_seq = (node.next_seq + 1) % 256;
      return;
    }
    // The will of a connection that was lost may come after the birth that followed it.
    sparkplug::Payload message;
    if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return;
    if (const auto session = session_in(message); session && node.session && *session != *node.session) return;
    forget_all(node);
    node.is_born = false;
  }

  /// The number of a node's session: in its birth and in its will.
  static std::optional<std::uint64_t> session_in(const sparkplug::Payload& message) {
    for (const auto& metric : message.metrics()) {
      if (metric.name() != "bdSeq") continue;
      return metric.value_case() == sparkplug::Metric::kLongValue ? metric.long_value() : metric.int_value();
    }
    return std::nullopt;
  }

  void forget(Node& node, const std::string& device) {
    const auto births = node.births.find(device);
    if (births == node.births.end()) return;
    known_ -= births->second.size();
    node.births.erase(births);
  }

  void forget_all(Node& node) {
    for (const auto& [device, births] : node.births) known_ -= births.size();
    node.births.clear();
  }

  void ask_for_rebirth(const Place& place, Node& node) {
    const auto now = std::chrono::steady_clock::now();
    if (node.asked_at && now - *node.asked_at < kBetweenRebirths) return;
    node.asked_at = now;
    sparkplug::Payload payload;
    payload.set_timestamp(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count()));
    auto& metric = *payload.add_metrics();
    metric.set_name("Node Control/Rebirth");
    metric.set_datatype(boolean);
    metric.set_boolean_value(true);
    commands_.push_back({fmt::format("spBv1.0/{}/NCMD/{}", place.group, place.node), payload.SerializeAsString()});
  }

  std::unordered_map<std::string, Node> nodes_;
  std::size_t known_ = 0;  ///< As kMaxKnown counts.
  std::vector<Command> commands_;
};

}  // namespace

std::unique_ptr<Dialect> sparkplug_b() { return std::make_unique<Sparkplug>(); }

}  // namespace wattd::drivers::mqtt
