// Rules and alerts, and who is told of them.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/answer.h"
#include "config/table.h"
#include "rules/engine.h"
#include "rules/json.h"

namespace wattd::cli {
namespace {

/// The one of a list with this id, the beginning of it, or this name. Errors: permanent when none or several fit.
Result<Json::Value> pick(const Result<Json::Value>& list, const std::string& wanted, const char* what, const char* id,
                         const char* name) {
  if (!list) return std::unexpected(list.error());
  std::vector<Json::Value> fitting;
  for (const auto& one : (*list)["data"]) {
    const auto own = one[id].asString();
    if (own == wanted || one[name].asString() == wanted) return one;
    if (wanted.size() >= 4 && own.starts_with(wanted)) fitting.push_back(one);
  }
  if (fitting.size() == 1) return fitting.front();
  return fail(ErrorKind::permanent,
              fmt::format("{} {} is called {:?}", fitting.empty() ? "no" : "more than one", what, wanted));
}

Result<Json::Value> find_rule(Context& context, const std::string& wanted) {
  return pick(context.client.get("/api/v1/rules?page_size=1000"), wanted, "rule", "rule_id", "rule_name");
}

Result<Json::Value> find_alert(Context& context, const std::string& wanted) {
  return pick(context.client.get("/api/v1/alerts?page_size=1000"), wanted, "alert", "alert_id", "alert_id");
}

std::string rule_path(const Json::Value& rule) { return "/api/v1/rules/" + escaped(rule["rule_id"].asString()); }

/// A condition in a few words: `temperature > 50`.
std::string in_short(const Json::Value& rule) {
  const auto one = [](const Json::Value& condition) {
    const auto kind = condition["kind"].asString();
    if (kind == "no_data")
      return fmt::format("nothing{} for {}",
                         condition.isMember("property") ? " of " + condition["property"].asString() : "",
                         condition["window"].asString());
    return fmt::format("{}{} {} {}", kind == "threshold" ? "" : kind + " of ", condition["property"].asString(),
                       condition["condition"].asString(), cell(condition["threshold"]));
  };
  if (!rule.isMember("conditions")) return one(rule);
  std::string text;
  for (const auto& condition : rule["conditions"])
    text += (text.empty() ? "" : rule["match"] == "any" ? " or " : " and ") + one(condition);
  return text;
}

std::string scope_of(const Json::Value& rule) {
  if (rule.isMember("building")) return "building " + rule["building"].asString();
  if (rule.isMember("device_type")) return "type " + rule["device_type"].asString();
  std::string ids;
  for (const auto& id : rule["device_ids"]) ids += (ids.empty() ? "" : ",") + id.asString();
  return ids.empty() ? "all" : ids;
}

/// The rules in a file of [[rules]] tables; `-` is standard input.
Result<std::vector<Rule>> rules_in(const std::string& path) {
  try {
    std::ostringstream text;
    if (path == "-") text << std::cin.rdbuf();
    const auto root = path == "-" ? config::parse(text.str(), "standard input") : config::load_file(path);
    std::vector<Rule> rules;
    for (const auto& table : root.tables("rules")) rules.push_back(rules::parse_rule(table));
    root.reject_unknown_keys();
    if (rules.empty()) return fail(ErrorKind::permanent, path + ": there is no [[rules]] table");
    return rules;
  } catch (const config::ConfigError& problem) {
    return fail(ErrorKind::permanent, problem.what());
  }
}

Json::Value body_of(const Rule& rule) {
  auto json = rules::to_json(rule);
  for (const auto* name : {"rule_id", "origin", "created_at", "updated_at", "last_triggered_at"})
    json.removeMember(name);
  return json;
}

/// Lets the person change a text in their editor. Errors: permanent.
Result<std::string> edited(const std::string& text) {
  auto path = (std::filesystem::temp_directory_path() / "wattctl-rule-XXXXXX.toml").string();
  const int file = ::mkstemps(path.data(), 5);
  if (file < 0) return fail(ErrorKind::permanent, "a file to edit cannot be made in " + path);
  ::close(file);
  std::ofstream(path) << text;
  const char* editor = std::getenv("VISUAL");
  if (editor == nullptr) editor = std::getenv("EDITOR");
  const auto command = fmt::format("{} '{}'", editor == nullptr ? "editor" : editor, path);
  const int status = std::system(command.c_str());
  std::ostringstream changed;
  changed << std::ifstream(path).rdbuf();
  std::filesystem::remove(path);
  if (status != 0)
    return fail(ErrorKind::permanent, "the editor failed; the rule is as it was. EDITOR says which it is");
  return changed.str();
}

/// A rule that was added or changed, and what is amiss with it.
void print_made(const Json::Value& rule, const std::string& how) {
  fmt::print("{} {} is {}\n", cell(rule["rule_id"]), cell(rule["rule_name"]), how);
  for (const auto& warning : rule["warnings"]) fmt::print(stderr, "wattctl: {}\n", warning.asString());
}

std::string by(const std::string& who) { return "by=" + escaped(who); }

}  // namespace

int list_rules(Context& context, const std::string& status, const std::string& device) {
  const auto target =
      fmt::format("/api/v1/rules?page_size=1000&status={}&device_id={}", escaped(status), escaped(device));
  return answer(context, context.client.get(target), [&](const Json::Value& rules) {
    Table table({"RULE", "NAME", "STATUS", "SEVERITY", "DEVICES", "CONDITION", "CHANNELS", "FIRED", "FROM"});
    for (const auto& rule : rules) {
      std::string channels;
      for (const auto& channel : rule["notification_channels"])
        channels += (channels.empty() ? "" : ",") + channel.asString();
      table.add({rule["rule_id"].asString().substr(0, 8), cell(rule["rule_name"]), cell(rule["status"]),
                 cell(rule["severity"]), scope_of(rule), in_short(rule), channels.empty() ? "-" : channels,
                 cell(rule["last_triggered_at"]), cell(rule["origin"])});
    }
    print_table(context, table, "There is no rule.");
  });
}

int show_rule(Context& context, const std::string& wanted) {
  const auto rule = find_rule(context, wanted);
  if (!rule) return complain(rule.error());
  if (context.format == Format::json) return print_json(*rule), 0;
  try {
    fmt::print("# {}\n# made {}, changed {}, fired last {}\n{}", (*rule)["rule_id"].asString(),
               cell((*rule)["created_at"]), cell((*rule)["updated_at"]), cell((*rule)["last_triggered_at"]),
               rules::to_toml(rules::rule_from(*rule)));
    if (!(*rule)["origin"].isNull()) fmt::print("# provisioned by {}\n", (*rule)["origin"].asString());
  } catch (const config::ConfigError& problem) {
    return complain({ErrorKind::permanent, problem.what()});
  }
  return 0;
}

int add_rules(Context& context, const std::string& path, const std::string& who) {
  const auto rules = rules_in(path);
  if (!rules) return complain(rules.error());
  int status = 0;
  for (const auto& rule : *rules) {
    const auto added = context.client.post("/api/v1/rules?" + by(who), body_of(rule).toStyledString());
    status = std::max(status,
                      answer(context, added, [](const Json::Value& made) { print_made(made, cell(made["status"])); }));
  }
  return status;
}

int edit_rule(Context& context, const std::string& wanted, const std::string& who) {
  const auto rule = find_rule(context, wanted);
  if (!rule) return complain(rule.error());
  if (!(*rule)["origin"].isNull())
    return complain({ErrorKind::permanent, fmt::format("the rule is provisioned by {}; change it there and reload",
                                                       (*rule)["origin"].asString())});
  try {
    const auto before = rules::to_toml(rules::rule_from(*rule));
    const auto after = edited(before);
    if (!after) return complain(after.error());
    if (*after == before) return fmt::print("The rule is as it was.\n"), 0;
    const auto tables = config::parse(*after, "rule").tables("rules");
    if (tables.size() != 1) return complain({ErrorKind::permanent, "expected one [[rules]] table"});
    const auto changed = rules::parse_rule(tables[0]);
    return answer(context, context.client.put(rule_path(*rule) + "?" + by(who), body_of(changed).toStyledString()),
                  [](const Json::Value& now) { print_made(now, "changed"); });
  } catch (const config::ConfigError& problem) {
    return complain({ErrorKind::permanent, problem.what()});
  }
}

int set_rule_status(Context& context, const std::string& wanted, const std::string& status, const std::string& who) {
  const auto rule = find_rule(context, wanted);
  if (!rule) return complain(rule.error());
  Json::Value body;
  body["status"] = status;
  return answer(context, context.client.patch(rule_path(*rule) + "/status?" + by(who), body.toStyledString()),
                [](const Json::Value& now) { print_made(now, cell(now["status"])); });
}

int test_rule(Context& context, const RuleTest& test) {
  Json::Value body;
  if (!test.file.empty()) {
    const auto rules = rules_in(test.file);
    if (!rules) return complain(rules.error());
    if (rules->size() != 1) return complain({ErrorKind::permanent, test.file + ": expected one [[rules]] table"});
    body["rule"] = body_of(rules->front());
  } else {
    const auto rule = find_rule(context, test.rule);
    if (!rule) return complain(rule.error());
    body["rule_id"] = (*rule)["rule_id"];
  }
  auto target = "/api/v1/rules/test?from=" + escaped(start_of(test.from));
  if (!test.to.empty()) target += "&to=" + escaped(start_of(test.to));
  return answer(context, context.client.post(target, body.toStyledString()), [&](const Json::Value& data) {
    Table table({"FROM", "TO", "DEVICE", "COUNT", "FIRST", "LAST", "TOLD", "MESSAGE"});
    for (const auto& alert : data["alerts"]) {
      table.add({cell(alert["created_at"]), cell(alert["resolved_at"]), cell(alert["device_id"]), cell(alert["count"]),
                 cell(alert["actual_value"]), cell(alert["last_value"]), alert["told"].asBool() ? "yes" : "no",
                 cell(alert["message"])});
    }
    print_table(context, table, "It would not have fired.");
    if (context.format != Format::table) return;
    fmt::print("{} readings from {} to {}: {} alerts, {} of them told\n", cell(data["readings"]), cell(data["from"]),
               cell(data["to"]), cell(data["raised"]), cell(data["told"]));
    if (!data["complete"].asBool()) fmt::print("That is as far as it came in five seconds; take a shorter time.\n");
  });
}

int list_alerts(Context& context, const std::string& status, const std::string& device) {
  const auto target =
      fmt::format("/api/v1/alerts?page_size=1000&status={}&device_id={}", escaped(status), escaped(device));
  return answer(context, context.client.get(target), [&](const Json::Value& alerts) {
    Table table({"ALERT", "STATUS", "SEVERITY", "DEVICE", "SINCE", "COUNT", "LAST", "MESSAGE"});
    for (const auto& alert : alerts) {
      table.add({cell(alert["alert_id"]), cell(alert["status"]), cell(alert["severity"]), cell(alert["device_id"]),
                 cell(alert["created_at"]), cell(alert["count"]), cell(alert["last_value"]), cell(alert["message"])});
    }
    print_table(context, table, "There is no such alert.");
  });
}

int show_alert(Context& context, const std::string& wanted) {
  const auto found = find_alert(context, wanted);
  if (!found) return complain(found.error());
  const auto target = "/api/v1/alerts/" + escaped((*found)["alert_id"].asString());
  return answer(context, context.client.get(target), [&](const Json::Value& alert) {
    fmt::print("{}\n", cell(alert["message"]));
    for (const auto* name : {"alert_id", "rule_id", "device_id", "severity", "status", "count", "actual_value",
                             "last_value", "threshold_value", "created_at", "last_seen_at", "acknowledged_by",
                             "acknowledged_at", "resolved_by", "resolved_at", "escalated_at", "late", "flapping"}) {
      if (!alert[name].isNull()) fmt::print("  {:<16}{}\n", name, cell(alert[name]));
    }
    Table told({"TOLD", "CHANNEL", "RECIPIENT", "EVENT", "STATUS", "TRIES", "ANSWER"});
    for (const auto& one : alert["notifications"]) {
      told.add({cell(one["sent_at"].isNull() ? one["created_at"] : one["sent_at"]), cell(one["channel"]),
                cell(one["recipient"]), cell(one["event"]), cell(one["status"]), cell(one["attempts"]),
                cell(one["provider_response"])});
    }
    print_table(context, told, "Nobody was told.");
    for (const auto& one : alert["audit"])
      fmt::print("{} {} {}\n", cell(one["at"]), cell(one["who"]), cell(one["did"]));
  });
}

int change_alert(Context& context, const std::string& wanted, const std::string& verb, const std::string& who) {
  const auto found = find_alert(context, wanted);
  if (!found) return complain(found.error());
  Json::Value body;
  body["acknowledged_by"] = who;
  const auto target = fmt::format("/api/v1/alerts/{}/{}?{}", escaped((*found)["alert_id"].asString()), verb, by(who));
  return answer(context, context.client.patch(target, body.toStyledString()), [](const Json::Value& alert) {
    fmt::print("{} is {}\n", cell(alert["alert_id"]), cell(alert["status"]));
  });
}

int add_silence(Context& context, const SilenceTarget& target, const std::string& who) {
  Json::Value body;
  body["minutes"] = target.minutes;
  body["comment"] = target.comment;
  body["device_ids"] = body["rule_ids"] = Json::arrayValue;
  for (const auto& device : target.devices) body["device_ids"].append(device);
  for (const auto& wanted : target.rules) {
    const auto rule = find_rule(context, wanted);
    if (!rule) return complain(rule.error());
    body["rule_ids"].append((*rule)["rule_id"]);
  }
  if (!target.alert.empty()) {
    const auto alert = find_alert(context, target.alert);
    if (!alert) return complain(alert.error());
    body["device_ids"].append((*alert)["device_id"]);
    body["rule_ids"].append((*alert)["rule_id"]);
  }
  return answer(context, context.client.post("/api/v1/silences?" + by(who), body.toStyledString()),
                [](const Json::Value& made) {
                  fmt::print("{}: nobody is told until {}\n", cell(made["silence_id"]), cell(made["to"]));
                });
}

int list_silences(Context& context) {
  return answer(context, context.client.get("/api/v1/silences"), [&](const Json::Value& silences) {
    Table table({"SILENCE", "FROM", "TO", "DEVICES", "RULES", "BY", "COMMENT"});
    for (const auto& one : silences) {
      const auto joined = [](const Json::Value& list) {
        std::string text;
        for (const auto& part : list) text += (text.empty() ? "" : ",") + part.asString();
        return text.empty() ? std::string("all") : text;
      };
      table.add({cell(one["silence_id"]), cell(one["from"]), cell(one["to"]), joined(one["device_ids"]),
                 joined(one["rule_ids"]), cell(one["created_by"]), cell(one["comment"])});
    }
    print_table(context, table, "Nothing is silenced.");
  });
}

int end_silence(Context& context, const std::string& id, const std::string& who) {
  return answer(context, context.client.remove(fmt::format("/api/v1/silences/{}?{}", escaped(id), by(who))),
                [](const Json::Value& one) { fmt::print("{} has ended\n", cell(one["silence_id"])); });
}

int list_channels(Context& context) {
  return answer(context, context.client.get("/api/v1/channels"), [&](const Json::Value& channels) {
    Table table({"CHANNEL", "KIND", "WAITING", "SENT", "FAILED", "LAST ERROR"});
    for (const auto& one : channels) {
      table.add({cell(one["id"]), cell(one["kind"]), cell(one["waiting"]), cell(one["sent"]), cell(one["failed"]),
                 cell(one["last_error"])});
    }
    print_table(context, table, "There is no channel; a [[channels]] table makes one.");
  });
}

int list_notifications(Context& context, const std::string& status, int limit) {
  const auto target = fmt::format("/api/v1/notifications?limit={}&status={}", limit, escaped(status));
  return answer(context, context.client.get(target), [&](const Json::Value& all) {
    Table table({"MADE", "CHANNEL", "RECIPIENT", "EVENT", "STATUS", "TRIES", "SENT", "ALERT", "ANSWER"});
    for (const auto& one : all) {
      table.add({cell(one["created_at"]), cell(one["channel"]), cell(one["recipient"]), cell(one["event"]),
                 cell(one["status"]), cell(one["attempts"]), cell(one["sent_at"]), cell(one["alert_id"]),
                 cell(one["provider_response"])});
    }
    print_table(context, table, "Nobody was told of anything yet.");
  });
}

int test_channel(Context& context, const std::string& channel, const std::string& recipient) {
  Json::Value body(Json::objectValue);
  if (!recipient.empty()) body["recipient"] = recipient;
  return answer(context,
                context.client.post(fmt::format("/api/v1/channels/{}/test", escaped(channel)), body.toStyledString()),
                [](const Json::Value& sent) {
                  fmt::print("{} took the message: {}\n", cell(sent["channel"]), cell(sent["provider_response"]));
                });
}

}  // namespace wattd::cli
