#pragma once
#include <json/value.h>

#include <string>

#include "api/gateway.h"
#include "pipeline/pipeline.h"
#include "storage/reader.h"
#include "telemetry/demand.h"
#include "telemetry/meter_tree.h"

namespace wattd::api {

/// One line of JSON.
std::string write(const Json::Value& value);
/// The seed's success envelope: {"success":true,"data":…}.
std::string envelope(Json::Value data);
/// The same around a list of which this is a page.
std::string page_envelope(Json::Value items, std::size_t total, std::size_t page, std::size_t page_size);

Json::Value time_or_null(const std::optional<Timestamp>& at);
Json::Value text_or_null(const std::string& text);

Json::Value to_json(const pipeline::DeviceActivity& activity);
Json::Value to_json(const storage::SeriesInfo& series);
Json::Value to_json(const Value& value);
/// Adds count, min, max, mean, sum, first, last, coverage and energy_kwh as far as there are any.
void add_statistics(Json::Value& json, const storage::Rollup& rollup);
/// Demand with its peaks; `sliding` are windows as long as the blocks.
Json::Value to_json(const std::vector<MeterTerm>& terms, const std::string& field,
                    const std::vector<EnergyBlock>& blocks, const std::vector<EnergyBlock>& sliding,
                    const Calendar& calendar);
Json::Value to_json(const Delivery& delivery);
Json::Value to_json(const Silence& silence);
Json::Value to_json(const notify::ChannelStatus& channel);
Json::Value to_json(const sync::SinkStatus& sink, std::uint64_t last_seq, Timestamp now);
Json::Value to_json(const AuditEntry& entry);
Json::Value to_json(const storage::StoredDeadLetter& letter, bool with_payload);
Json::Value to_json(const Overview& overview, const pipeline::Pipeline& pipeline, Timestamp now);

}  // namespace wattd::api
