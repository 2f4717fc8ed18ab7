#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "api/collector.h"
#include "api/gateway.h"
#include "api/http.h"
#include "pipeline/pipeline.h"
#include "storage/reader.h"

namespace wattd::api {

/// Answers every path of the API. docs/api.md lists them.
/// Threads: the server's. Changes are posted to the pipeline; queries use a Reader of their own.
class Routes {
 public:
  Routes(const Gateway& gateway, pipeline::Pipeline& pipeline, const storage::Store& store, const Clock& clock);

  Response answer(const Request& request);
  /// Who may post readings, from now on. Threads: any.
  void set_collected(std::vector<Collected> collected);

 private:
  Response collect(const Request& request);
  Response ready() const;
  Response read_registers(const Request& request, const std::string& bus) const;
  Response trace_bus(const Request& request, const std::string& bus) const;
  Response status() const;
  Response devices(const Request& request) const;
  Response device(const std::string& id);
  bool knows(const std::string& id) const;
  Response telemetry(const Request& request, const std::string& device_id);
  Response aggregated(const Request& request, const std::string& device_id, const std::vector<std::string>& fields,
                      storage::TimeRange range, std::size_t limit);
  Response latest(const std::string& device_id);
  Response demand(const Request& request, const std::string& meter, bool building);
  Response statistics(const Request& request, const std::string& device_id);
  Response begin_backup(const Request& request);
  Response sample_count(const Request& request);
  // rule_routes.cpp
  std::optional<Response> answer_about_rules(const Request& request);
  Response rules(const Request& request);
  Response rule(const std::string& id);
  Result<std::optional<Rule>> find_rule(const std::string& id);
  Response put_rule(Rule rule, AuditEntry entry, unsigned status);
  Response create_rule(const Request& request);
  Response update_rule(const Request& request, const std::string& id);
  Response update_rule_status(const Request& request, const std::string& id);
  Response delete_rule(const Request& request, const std::string& id);
  struct Surroundings {
    rules::Options options;
    rules::Engine::FactsOf facts_of;
  };
  std::optional<Surroundings> surroundings();
  Response evaluate_rules(const Request& request);
  Response test_rule(const Request& request);
  // alert_routes.cpp
  std::optional<Response> answer_about_alerts(const Request& request);
  Response alerts(const Request& request);
  Response alert(const std::string& id);
  Response change_alert(const Request& request, const std::string& id, const std::string& verb);
  Response silences();
  Response put_silence(const Silence& silence, const AuditEntry& entry, unsigned status);
  Response add_silence(const Request& request);
  Response end_silence(const Request& request, const std::string& id);
  Response channels();
  Response test_channel(const Request& request, const std::string& channel);
  Response notifications(const Request& request);
  Response audit(const Request& request);
  // sink_routes.cpp
  std::optional<Response> answer_about_sinks(const Request& request);
  Response sinks();
  Response start_job(const Request& request, const std::string& sink);
  // routes.cpp
  Response dead_letters(const Request& request);
  Response dead_letter(std::int64_t id);
  Response replay(std::int64_t id);

  const Gateway& gateway_;
  pipeline::Pipeline& pipeline_;
  storage::Reader reader_;
  const Clock& clock_;
  std::mutex mutex_;
  std::shared_ptr<const std::vector<Collected>> collected_ =
      std::make_shared<std::vector<Collected>>();  ///< Guarded by mutex_.
};

}  // namespace wattd::api
