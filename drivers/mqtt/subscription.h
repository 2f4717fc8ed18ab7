#pragma once
#include <string>
#include <vector>

#include "config/table.h"
#include "telemetry/error.h"

namespace wattd::drivers::mqtt {

/// One value of a mapped payload.
struct MappedField {
  std::string pointer;  ///< Where it stands, as in RFC 6901; empty for a payload that is the value itself.
  std::string name;     ///< Of the field that it becomes; {name} stands for a level of the topic.
  double scale = 1;     ///< The field is the value times scale, plus offset.
  double offset = 0;
  bool operator==(const MappedField&) const = default;
};

/// What a configuration says of payloads that nobody knows out of the box.
struct Mapping {
  std::string topic;      ///< Levels; {name} stands for any, and for what it is called by elsewhere.
  std::string device;     ///< Id, in which {name} stands for a level.
  std::string timestamp;  ///< Pointer to the payload's stamp; empty for the time of arrival.
  std::vector<MappedField> fields;
  bool operator==(const Mapping&) const = default;
};

/// What is subscribed to, and how those speak who publish there.
struct Subscription {
  std::string filter;
  std::string publisher = "plain";
  Mapping mapping;     ///< For "mapping".
  std::string source;  ///< The id of the connection that it is of.
  bool operator==(const Subscription&) const = default;
};

/// Whether a topic is one of a filter's; a shared subscription's group does not count.
bool matches(const std::string& filter, const std::string& topic);

/// The filters that a broker was last asked for, one a line; none where there is no file. A session that goes on keeps
/// them at the broker, whatever the configuration says since.
std::vector<std::string> load_filters(const std::string& path);
/// Replaces the file. Errors: permanent, with the reason.
Result<void> save_filters(const std::string& path, const std::vector<std::string>& filters);

/// The subscriptions that the topics, publishers and mappings of an [[mqtt]] table ask for.
/// Errors: throws config::ConfigError.
std::vector<Subscription> parse_subscriptions(const config::Table& table);

}  // namespace wattd::drivers::mqtt
