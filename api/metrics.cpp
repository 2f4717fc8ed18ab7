#include "api/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "storage/space.h"
#include "telemetry/version.h"

namespace wattd::api {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

ClientMetric counter(double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  return metric;
}

ClientMetric gauge(double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  return metric;
}

ClientMetric histogram(const Histogram& counted) {
  ClientMetric metric;
  std::uint64_t below = 0;
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    below += counted.in_bucket(i);
    if (i % 4 == 0 || i + 1 == Histogram::kBuckets) {
      metric.histogram.bucket.push_back({below, Histogram::bound(i)});
    }
  }
  metric.histogram.bucket.push_back({below, std::numeric_limits<double>::infinity()});
  metric.histogram.sample_count = below;
  metric.histogram.sample_sum = counted.sum_seconds();
  return metric;
}

MetricFamily family(std::string name, std::string help, MetricType type, std::vector<ClientMetric> metrics) {
  return {std::move(name), std::move(help), type, std::move(metrics)};
}

void add_pipeline(std::vector<MetricFamily>& families, const pipeline::Pipeline& pipeline) {
  const auto& counts = pipeline.counts();
  const auto one = [&](const char* name, const char* help, double value) {
    families.push_back(family(name, help, MetricType::Counter, {counter(value)}));
  };
  one("wattd_samples_total", "Numeric samples committed.", counts.samples);
  one("wattd_messages_redelivered_total", "Messages dropped because they had been taken before.", counts.redelivered);
  one("wattd_dead_letters_total", "Messages refused and kept as dead letters.", counts.rejected);
  one("wattd_groups_total", "Transactions committed.", counts.groups);
  one("wattd_commit_failures_total", "Transactions that the disk refused.", counts.commit_failures);
  one("alerts_total", "Alerts raised.", counts.alerts);
  families.push_back(family("rule_evaluation_duration_seconds", "All rules over one reading.", MetricType::Histogram,
                            {histogram(counts.evaluation_seconds)}));
  families.push_back(family("wattd_commit_duration_seconds", "One transaction, its sync included.",
                            MetricType::Histogram, {histogram(counts.commit_seconds)}));
  families.push_back(family("wattd_alert_duration_seconds", "From a reading's arrival to its alert on the disk.",
                            MetricType::Histogram, {histogram(counts.alert_seconds)}));
  std::vector<ClientMetric> active;
  for (std::size_t i = 0; i < counts.active_alerts.size(); ++i) {
    active.push_back(gauge(static_cast<double>(counts.active_alerts[i]),
                           {{"severity", std::string(to_string(static_cast<Severity>(i)))}}));
  }
  families.push_back(family("alerts_active", "Alerts that are open or acknowledged.", MetricType::Gauge, active));
  families.push_back(family("wattd_intake_backlog", "Messages and readings not committed yet.", MetricType::Gauge,
                            {gauge(static_cast<double>(pipeline.backlog()))}));
}

void add_devices(std::vector<MetricFamily>& families, const pipeline::Pipeline& pipeline, Instant now) {
  std::vector<ClientMetric> scores;
  std::vector<ClientMetric> messages;
  std::vector<ClientMetric> rejected;
  for (const auto& entry : pipeline.registry().activity(now)) {
    const Labels labels{{"device_id", entry.device.id}};
    messages.push_back(counter(static_cast<double>(entry.readings), labels));
    if (entry.rejected > 0) rejected.push_back(counter(static_cast<double>(entry.rejected), labels));
    if (entry.health) scores.push_back(gauge(entry.health->score, labels));
  }
  families.push_back(
      family("telemetry_messages_total", "Readings accepted, by device.", MetricType::Counter, messages));
  families.push_back(family("telemetry_rejected_total", "Messages refused, by device.", MetricType::Counter, rejected));
  families.push_back(family("device_health_score", "How well a device has been doing for a day, 0 to 100.",
                            MetricType::Gauge, scores));
}

void add_sources(std::vector<MetricFamily>& families, const Overview& overview) {
  std::vector<ClientMetric> connected;
  for (const auto& connection : overview.connections)
    connected.push_back(gauge(connection.connected, {{"id", connection.id}}));
  families.push_back(family("wattd_mqtt_connected", "Whether the broker is connected.", MetricType::Gauge, connected));
  std::vector<ClientMetric> polls;
  std::vector<ClientMetric> failures;
  std::vector<ClientMetric> loads;
  for (const auto& bus : overview.buses) {
    loads.push_back(gauge(bus.health.load, {{"bus", bus.id}}));
    for (const auto& meter : bus.health.meters) {
      const Labels labels{{"bus", bus.id}, {"device_id", meter.device_id}};
      polls.push_back(counter(static_cast<double>(meter.polls), labels));
      failures.push_back(counter(static_cast<double>(meter.failures), labels));
    }
  }
  families.push_back(family("wattd_meter_polls_total", "Polls of a meter.", MetricType::Counter, polls));
  families.push_back(
      family("wattd_meter_failures_total", "Polls a meter did not answer.", MetricType::Counter, failures));
  families.push_back(family("wattd_bus_load", "Share of the last minute in which a bus was in use, 0 to 1.",
                            MetricType::Gauge, loads));
}

void add_sinks(std::vector<MetricFamily>& families, const Overview& overview, Timestamp now) {
  std::vector<ClientMetric> samples, refused, failures, bytes, behind, waiting, lags, paused;
  for (const auto& [sink, job] : overview.sinks) {
    const Labels labels{{"sink", sink.id}};
    samples.push_back(counter(static_cast<double>(sink.sent_samples), labels));
    refused.push_back(counter(static_cast<double>(sink.refused_readings), labels));
    failures.push_back(counter(static_cast<double>(sink.failures), labels));
    bytes.push_back(counter(static_cast<double>(sink.bytes), labels));
    const auto last = sink.stream == sync::Stream::readings ? overview.usage.last_seq : sink.newest;
    behind.push_back(gauge(last > sink.cursor.sent ? static_cast<double>(last - sink.cursor.sent) : 0, labels));
    waiting.push_back(gauge(static_cast<double>(sink.waiting_readings), labels));
    lags.push_back(gauge(sync::lag(sink, now), labels));
    paused.push_back(gauge(sink.paused ? 1 : 0, labels));
  }
  const auto add = [&](const char* name, const char* help, MetricType type, std::vector<ClientMetric>& metrics) {
    families.push_back(family(name, help, type, metrics));
  };
  add("wattd_sink_samples_total", "Numeric samples a sink answered for.", MetricType::Counter, samples);
  add("wattd_sink_refused_readings_total", "Readings a sink refused for good.", MetricType::Counter, refused);
  add("wattd_sink_failures_total", "Requests that failed.", MetricType::Counter, failures);
  add("wattd_sink_bytes_total", "Bytes sent and received, without what TLS and TCP add.", MetricType::Counter, bytes);
  add("wattd_sink_behind_segments", "Segments a sink has not been sent yet.", MetricType::Gauge, behind);
  add("wattd_sink_waiting_readings", "Readings a sink has not been sent yet, as far as they are in the ring.",
      MetricType::Gauge, waiting);
  add("wattd_sink_lag_seconds", "How long the oldest of them has been waiting.", MetricType::Gauge, lags);
  add("wattd_sink_paused", "1 while a person has paused the sink.", MetricType::Gauge, paused);
}

void add_storage(std::vector<MetricFamily>& families, const Overview& overview) {
  families.push_back(family("wattd_ring_bytes", "Bytes of the ring's segments.", MetricType::Gauge,
                            {gauge(static_cast<double>(overview.usage.ring_bytes))}));
  const auto gauge_of = [&](const char* name, const char* help, std::int64_t value) {
    families.push_back(family(name, help, MetricType::Gauge, {gauge(static_cast<double>(value))}));
  };
  const auto counter_of = [&](const char* name, const char* help, std::uint64_t value) {
    families.push_back(family(name, help, MetricType::Counter, {counter(static_cast<double>(value))}));
  };
  gauge_of("wattd_database_bytes", "Bytes of the database's pages that are in use.", overview.usage.database_bytes);
  gauge_of("wattd_wal_bytes", "Bytes of the write-ahead log's file.", overview.usage.wal_bytes);
  gauge_of("wattd_storage_relieved", "1 while something is given up for want of space.",
           !overview.usage.relief.empty());
  gauge_of("wattd_clock_trusted", "0 while nothing vouches for the clock and what it stamps is held.",
           overview.clock_is_trusted);
  counter_of("wattd_clock_steps_total", "Steps of the clock since it was trusted.", overview.clock_steps);
  gauge_of("wattd_held_readings", "Readings that wait for a clock that is trusted.", overview.usage.held_readings);
  counter_of("wattd_held_lost_total", "Of those, overwritten for want of room.", overview.usage.held_lost);
  counter_of("wattd_expired_unsent_total", "Chunks deleted before every sink had settled them.",
             overview.usage.expired_unsent);
  counter_of("wattd_expired_unarchived_total", "Chunks deleted before they were archived.",
             overview.usage.expired_unarchived);
  counter_of("wattd_corrections_total", "Values replaced by a different one of the same stamp.",
             overview.usage.corrections);
  counter_of("wattd_written_bytes_total", "Bytes this process caused to be written to storage, as the kernel counts.",
             static_cast<std::uint64_t>(std::max<std::int64_t>(storage::written_bytes(), 0)));
  families.push_back(family("wattd_build_info", "Always 1.", MetricType::Gauge,
                            {gauge(1, {{"gateway", overview.gateway_id}, {"version", kVersion}})}));
}

}  // namespace

std::string metrics_text(const Overview& overview, const pipeline::Pipeline& pipeline, const Clock& clock) {
  std::vector<MetricFamily> families;
  add_pipeline(families, pipeline);
  add_devices(families, pipeline, clock.monotonic());
  add_sources(families, overview);
  add_storage(families, overview);
  add_sinks(families, overview, clock.now());
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace wattd::api
